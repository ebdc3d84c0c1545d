/** Random numbers from a seed (SplitMix32): the same seed gives the same trace everywhere. */
export interface Random {
  /** An integer in 0..bound-1; bound at most 2^32. */
  below(bound: number): number;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  return { below: (bound) => Math.floor((next() / 4294967296) * bound) };
}
