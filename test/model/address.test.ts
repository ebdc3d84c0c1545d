import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addWide,
  compareWide,
  isAligned,
  isTop,
  offsetOf,
  pageOf,
  readOffset,
  readPage,
  subWide,
  toBigInt,
  toNumber,
  wide,
  writeWide,
} from '../../src/model/address.ts';
import { U64_LAST, u64 } from '../support/wide.ts';

const RUNS = { numRuns: 3_000 };

describe('an address of two doubles', () => {
  test('is the 64-bit number that it was made of', () => {
    fc.assert(
      fc.property(u64, (value) => {
        expect(toBigInt(pageOf(value), offsetOf(value))).toBe(value);
        expect(isTop(pageOf(value), offsetOf(value))).toBe(value === U64_LAST);
        if (value < 2n ** 53n) expect(toNumber(pageOf(value), offsetOf(value))).toBe(Number(value));
      }),
      RUNS,
    );
  });

  test('adds and subtracts modulo 2^64 and tells when it wrapped', () => {
    fc.assert(
      fc.property(u64, u64, (a, b) => {
        const into = wide();
        expect(addWide(into, pageOf(a), offsetOf(a), pageOf(b), offsetOf(b))).toBe(a + b > U64_LAST);
        expect(toBigInt(into.page, into.offset)).toBe(BigInt.asUintN(64, a + b));
        expect(subWide(into, pageOf(a), offsetOf(a), pageOf(b), offsetOf(b))).toBe(a < b);
        expect(toBigInt(into.page, into.offset)).toBe(BigInt.asUintN(64, a - b));
      }),
      RUNS,
    );
  });

  test('adds and subtracts right also into one of its operands', () => {
    fc.assert(
      fc.property(u64, u64, (a, b) => {
        const x = wide(pageOf(a), offsetOf(a));
        addWide(x, x.page, x.offset, pageOf(b), offsetOf(b));
        subWide(x, x.page, x.offset, pageOf(b), offsetOf(b));
        expect(toBigInt(x.page, x.offset)).toBe(a);
      }),
      RUNS,
    );
  });

  test('compares as the numbers do', () => {
    fc.assert(
      fc.property(u64, u64, (a, b) => {
        const order = Math.sign(compareWide(pageOf(a), offsetOf(a), pageOf(b), offsetOf(b)));
        expect(order).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
      RUNS,
    );
  });

  test('is read from and written to struct bytes as a little-endian u64', () => {
    fc.assert(
      fc.property(u64, fc.integer({ min: 0, max: 8 }), (value, at) => {
        const view = new DataView(new ArrayBuffer(16));
        view.setBigUint64(at, value, true);
        expect([readPage(view, at), readOffset(view, at)]).toEqual([pageOf(value), offsetOf(value)]);
        const copy = new DataView(new ArrayBuffer(16));
        writeWide(copy, at, pageOf(value), offsetOf(value));
        expect(copy.getBigUint64(at, true)).toBe(value);
      }),
      RUNS,
    );
  });

  test('is aligned when its offset is, for every power of two up to a page', () => {
    fc.assert(
      fc.property(u64, fc.integer({ min: 0, max: 12 }), (value, bit) => {
        expect(isAligned(pageOf(value), offsetOf(value), 2 ** bit)).toBe(value % 2n ** BigInt(bit) === 0n);
      }),
      RUNS,
    );
  });
});
