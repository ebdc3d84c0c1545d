import fc from 'fast-check';
import { offsetOf, pageOf } from '../../src/model/address.ts';
import type { IovaRange } from '../../src/model/iova-space.ts';

export const U64_LAST = 2n ** 64n - 1n;

export function lower(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

/** An inclusive range of plain numbers, for slow references. */
export interface Span {
  readonly first: bigint;
  readonly last: bigint;
}

/** 64-bit numbers: small, near pages, around what a double or a half-word holds, near the top, and any. */
export const u64: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: 3n * 4096n }),
  fc.tuple(fc.bigInt({ min: 0n, max: 64n }), fc.integer({ min: -2, max: 2 })).map(([page, step]) => {
    return BigInt.asUintN(64, page * 4096n + BigInt(step));
  }),
  fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: -2, max: 2 })).map(([bit, step]) => {
    return BigInt.asUintN(64, (1n << BigInt(bit)) + BigInt(step));
  }),
  fc.bigInt({ min: U64_LAST - 3n * 4096n, max: U64_LAST }),
  fc.bigInt({ min: 0n, max: U64_LAST }),
);

export const span: fc.Arbitrary<Span> = fc.tuple(u64, u64).map(([a, b]) => ({
  first: lower(a, b),
  last: lower(a, b) === a ? b : a,
}));

/** Spans that lie close together, so that they overlap and touch often. */
export const nearSpan: fc.Arbitrary<Span> = fc
  .tuple(fc.bigInt({ min: 0n, max: 40_000n }), fc.bigInt({ min: 0n, max: 9_000n }))
  .map(([first, length]) => ({ first, last: first + length }));

export function rangeOf({ first, last }: Span): IovaRange {
  return {
    startPage: pageOf(first),
    startOffset: offsetOf(first),
    lastPage: pageOf(last),
    lastOffset: offsetOf(last),
  };
}
