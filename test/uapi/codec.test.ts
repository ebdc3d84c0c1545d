import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildStruct,
  decodeStruct,
  encodeStruct,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  renderReply,
  renderStruct,
  structToJson,
} from '../../src/uapi/index.ts';
import { ALL_LAYOUTS } from './all-layouts.ts';

/** Each layout once with random bytes as they come, and once for each selector value of its union. */
const CASES = ALL_LAYOUTS.flatMap(([name, layout]) => {
  const selectors = Object.keys(layout.union?.cases ?? {}).map(Number);
  const selectorAt = layout.fields.find((field) => field.name === layout.union?.selector)?.offset ?? 0;
  return [undefined, ...selectors].map((selector) => ({
    title: selector === undefined ? name : `${name} ${selector}`,
    layout,
    prepare: (bytes: Uint8Array): void => {
      if (selector === undefined || bytes.length < selectorAt + 4) return;
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(selectorAt, selector, true);
    },
  }));
});

describe('decode, then encode', () => {
  test.each(CASES)('$title gives back any bytes', ({ layout, prepare }) => {
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 2 * layout.sizeBytes + 8 }),
      fc.uint8Array({ minLength: layout.sizeBytes, maxLength: layout.sizeBytes }),
    );
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        prepare(bytes);
        const before = bytes.slice();
        expect(encodeStruct(layout, decodeStruct(layout, bytes))).toEqual(before);
        expect(bytes).toEqual(before);
        // Whatever the bytes are, they can be shown.
        expect(renderStruct(layout, bytes)).toMatch(/^\{.*\}$/);
        expect(renderReply(layout, bytes, bytes, true)).toBe('{}');
        JSON.stringify(structToJson(layout, bytes));
      }),
      { numRuns: 200 },
    );
  });

  test('bytes in the middle of a larger buffer are read in place', () => {
    const buffer = new Uint8Array(64).fill(0xee);
    buffer.set(buildStruct(IOMMU_IOAS_MAP, { ioas_id: 7 }), 11);
    const decoded = decodeStruct(IOMMU_IOAS_MAP, buffer.subarray(11, 51));
    expect(decoded.fields.ioas_id).toBe(7);
    expect(decoded.raw).toEqual([]);
  });
});

describe('decodeStruct', () => {
  test('u64 is a bigint, the rest are numbers', () => {
    const bytes = buildStruct(IOMMU_IOAS_MAP, { flags: 0xffffffff, iova: 2n ** 64n - 1n });
    const { fields } = decodeStruct(IOMMU_IOAS_MAP, bytes);
    expect(fields).toMatchObject({ size: 40, flags: 0xffffffff, iova: 2n ** 64n - 1n, user_va: 0n });
  });

  test('a field that is cut is missing, and its bytes are raw', () => {
    const bytes = buildStruct(IOMMU_IOAS_MAP, { user_va: 0x1122334455667788n }).subarray(0, 19);
    const decoded = decodeStruct(IOMMU_IOAS_MAP, bytes);
    expect(decoded.fields.user_va).toBeUndefined();
    expect(decoded.raw).toEqual([{ offset: 16, bytes: Uint8Array.of(0x88, 0x77, 0x66) }]);
  });

  test('a tail is raw', () => {
    const bytes = buildStruct(IOMMU_IOAS_MAP, {}, { lengthBytes: 44 });
    bytes[43] = 9;
    expect(decodeStruct(IOMMU_IOAS_MAP, bytes).raw).toEqual([
      { offset: 40, bytes: Uint8Array.of(0, 0, 0, 9) },
    ]);
  });

  test('the union of an unknown operation is raw', () => {
    const bytes = buildStruct(IOMMU_TEST_CMD, { op: 200, id: 1 });
    bytes[16] = 5;
    const decoded = decodeStruct(IOMMU_TEST_CMD, bytes);
    expect(decoded.member).toBeNull();
    expect(decoded.raw.map((piece) => piece.offset)).toEqual([16]);
  });
});

describe('buildStruct', () => {
  test('fills in the size and the union member', () => {
    const bytes = buildStruct(
      IOMMU_TEST_CMD,
      { op: IOMMU_TEST_OP.ADD_RESERVED, id: 1 },
      { member: { start: 0x1000n, length: 0x2000n } },
    );
    const decoded = decodeStruct(IOMMU_TEST_CMD, bytes);
    expect(decoded.fields.size).toBe(72);
    expect(decoded.member).toEqual({ name: 'add_reserved', fields: { start: 0x1000n, length: 0x2000n } });
  });
});
