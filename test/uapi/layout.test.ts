import { describe, expect, test } from 'vitest';
import {
  IOMMU_GET_HW_INFO,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  offsetsOf,
  unionOffsetsOf,
} from '../../src/uapi/index.ts';
import { defineLayout } from '../../src/uapi/layout.ts';
import { ALL_LAYOUTS } from './all-layouts.ts';

describe('layouts', () => {
  test('all are there', () => {
    expect(ALL_LAYOUTS.length).toBe(92);
  });

  test.each(ALL_LAYOUTS)('%s grows to its size and starts at its minimum', (_name, layout) => {
    const sizes = layout.sizes ?? [];
    if (sizes.length > 0) {
      expect(sizes[0]?.minBytes ?? sizes[0]?.bytes).toBe(layout.minBytes);
      expect(sizes.at(-1)?.bytes).toBe(layout.sizeBytes);
      expect(sizes.map((size) => size.bytes)).toEqual(sizes.map((size) => size.bytes).sort((a, b) => a - b));
    }
    const first = layout.fields[0];
    expect(first?.offset).toBe(0);
    if (first?.refers === 'size') expect(['size', 'argsz']).toContain(first.name);
  });

  test.each(ALL_LAYOUTS)('%s: a union member has no name that a field has', (_name, layout) => {
    const fields = layout.fields.map((field) => field.name);
    const members = Object.values(layout.union?.cases ?? {}).map((member) => member.name);
    expect(members.filter((member) => fields.includes(member))).toEqual([]);
    expect(new Set(members).size).toBe(members.length);
  });

  test('every selftest operation has a case', () => {
    expect(Object.keys(IOMMU_TEST_CMD.union.cases).map(Number)).toEqual(Object.values(IOMMU_TEST_OP));
  });

  test.each([
    ['overlap', { offset: 2, kind: 'u16', name: 'b' }, /overlaps/],
    ['misalignment', { offset: 6, kind: 'u32', name: 'b' }, /aligned/],
    ['a field past the end', { offset: 8, kind: 'u32', name: 'b' }, /struct has 8/],
    ['the same name twice', { offset: 4, kind: 'u32', name: 'a' }, /twice/],
  ] as const)('%s is refused when the table loads', (_what, second, message) => {
    const fields = [
      { name: 'a', offset: 0, kind: 'u32', dir: 'in' } as const,
      { ...second, dir: 'in' } as const,
    ];
    expect(() => defineLayout({ name: 'bad', sizeBytes: 8, minBytes: 8, fields })).toThrow(message);
  });
});

describe('offsets', () => {
  test('are typed by field name', () => {
    const map = offsetsOf(IOMMU_IOAS_MAP);
    const iova: 32 = map.iova;
    expect(iova).toBe(32);
    expect(map).toEqual({ size: 0, flags: 4, ioas_id: 8, __reserved: 12, user_va: 16, length: 24, iova: 32 });
    // @ts-expect-error a wrong name does not compile
    expect(map.iovas).toBeUndefined();
    expect(offsetsOf(IOMMU_GET_HW_INFO).out_max_pasid_log2).toBe(28);
  });

  test('of a union member count from the start of the struct', () => {
    const mock = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MOCK_DOMAIN);
    expect(mock).toEqual({ out_stdev_id: 16, out_hwpt_id: 20, out_idev_id: 24 });
    // @ts-expect-error a field of another operation
    expect(mock.iova).toBeUndefined();
    expect(unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DIRTY).out_nr_dirty).toBe(56);
    // @ts-expect-error no such operation
    expect(unionOffsetsOf(IOMMU_TEST_CMD, 99)).toEqual({});
  });
});
