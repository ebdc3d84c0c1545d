import { describe, expect, test } from 'vitest';
import {
  ENUM_TABLES,
  ERRNO,
  errnoName,
  errnoNumber,
  FLAG_TABLES,
  IOMMU_HW_CAP,
  IOMMU_HWPT_DATA,
  IOMMU_IOAS_MAP_FLAGS,
  renderEnum,
  renderFlags,
  valueOfName,
} from '../../src/uapi/index.ts';

describe('errno', () => {
  test('numbers are literal types', () => {
    const einval: 22 = ERRNO.EINVAL;
    expect(einval).toBe(22);
    expect(errnoName(22)).toBe('EINVAL');
    expect(errnoName(ERRNO.EOPNOTSUPP)).toBe('EOPNOTSUPP');
    expect(errnoName(0)).toBe('0');
    expect(errnoName(999)).toBe('errno 999');
  });

  test('1 to 133 have a name, but the two that are aliases', () => {
    const missing = Array.from({ length: 133 }, (_, index) => index + 1).filter((n) =>
      /^errno/.test(errnoName(n)),
    );
    expect(missing).toEqual([41, 58]);
  });

  test('names go back to numbers, aliases too', () => {
    expect(Object.entries(ERRNO).filter(([name, number]) => errnoNumber(name) !== number)).toEqual([]);
    expect(errnoNumber('EWOULDBLOCK')).toBe(11);
    expect(errnoNumber('ENOTSUP')).toBe(95);
    expect(errnoNumber('toString')).toBeUndefined();
  });
});

describe('flags', () => {
  test.each([
    [3, 'FIXED_IOVA|WRITEABLE'],
    [0x13, 'FIXED_IOVA|WRITEABLE|0x10'],
    [0x80000000, '0x80000000'],
    [0, '0'],
  ])('%i is %s', (value, text) => {
    expect(renderFlags(IOMMU_IOAS_MAP_FLAGS, value)).toBe(text);
  });

  test('64 bits are kept', () => {
    expect(renderFlags(IOMMU_HW_CAP, (1n << 63n) | 1n)).toBe('DIRTY_TRACKING|0x8000000000000000');
  });

  test.each(Object.entries(FLAG_TABLES))('table %s has one bit a name, ascending', (_name, table) => {
    const bits: number[] = Object.values(table);
    expect(bits.every((bit) => Number.isInteger(Math.log2(bit)))).toBe(true);
    expect(bits).toEqual([...bits].sort((a, b) => a - b));
    expect(new Set(bits).size).toBe(bits.length);
  });
});

describe('enums', () => {
  test('a known value has a name, others are numbers', () => {
    expect(renderEnum(IOMMU_HWPT_DATA, 0xdead)).toBe('SELFTEST');
    expect(renderEnum(IOMMU_HWPT_DATA, 77)).toBe('77');
    expect(renderEnum(IOMMU_HWPT_DATA, 0xdadbeef)).toBe('0xdadbeef');
    expect(valueOfName(IOMMU_HWPT_DATA, 'VTD_S1')).toBe(1);
    expect(valueOfName(IOMMU_HWPT_DATA, 'constructor')).toBeUndefined();
  });

  test.each(Object.entries(ENUM_TABLES))('table %s has each value once', (_name, table) => {
    const values = Object.values(table);
    expect(new Set(values).size).toBe(values.length);
  });
});
