/**
 * Before all tests: which seed the property tests use, said once. `IOASIS_SEED=random` draws another one (and
 * `IOASIS_SEED=<number>` repeats it): a plain run is the same everywhere, and what it finds is not luck.
 */
export function setup(): void {
  const asked = process.env['IOASIS_SEED'] ?? '20261120';
  const seed = asked === 'random' ? String(Math.floor(Math.random() * 2 ** 31)) : asked;
  if (!/^\d+$/.test(seed)) throw new Error(`IOASIS_SEED is a number or "random", not ${asked}`);
  process.env['IOASIS_SEED'] = seed;
  console.log(`property tests with IOASIS_SEED=${seed}`);
}
