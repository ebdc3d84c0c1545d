/**
 * IOVAs that the kernel chose, by the order in which it did: which ones they are depends on where the memory
 * behind them happens to lie, and calls that come later name them.
 */
export interface AutomaticIovas {
  /** By number of the IOAS, then by first address. */
  readonly ranges: Map<number, Map<bigint, { readonly last: bigint; readonly nth: number }>>;
  readonly counts: Map<number, number>;
}

export function createAutomaticIovas(): AutomaticIovas {
  return { ranges: new Map(), counts: new Map() };
}

export function noteChosen(
  { ranges, counts }: AutomaticIovas,
  ioas: number,
  iova: bigint,
  length: bigint,
): void {
  const nth = (counts.get(ioas) ?? 0) + 1;
  counts.set(ioas, nth);
  let own = ranges.get(ioas);
  if (own === undefined) {
    own = new Map();
    ranges.set(ioas, own);
  }
  own.set(iova, { last: iova + length - 1n, nth });
}

/** The caller chose these addresses, or gave them back. */
export function forgetChosen({ ranges }: AutomaticIovas, ioas: number, iova: bigint): void {
  ranges.get(ioas)?.delete(iova);
}

/** An IOVA by the choice that it lies in; null when the kernel did not choose it. */
export function chosenText({ ranges }: AutomaticIovas, ioas: number, iova: bigint): string | null {
  const own = ranges.get(ioas);
  if (own === undefined || own.size === 0) return null;
  const exact = own.get(iova);
  if (exact !== undefined) return `IOVA no. ${exact.nth} of the kernel's choice`;
  for (const [first, { last, nth }] of own)
    if (iova > first && iova <= last)
      return `IOVA no. ${nth} of the kernel's choice + 0x${(iova - first).toString(16)}`;
  return null;
}
