import { describe, expect, test } from 'vitest';
import { RFC_CMD } from '../../../src/uapi/index.ts';
import {
  alloc,
  attached,
  EEXIST,
  EINVAL,
  IOMMU,
  map,
  opened,
  unmap,
} from '../../support/rfc-2021-09-session.ts';

/** The code of September 2021: mapping, the reference's tables 4.2 and 4.4, one row one test. */

describe('table 4.2: MAP and UNMAP, other commands', () => {
  test.each([
    ['argsz below the minimum', { argsz: 8 }, 'rfc-argsz-flags-or-number'],
    ['a flag', { flags: 1 }, 'rfc-argsz-flags-or-number'],
    ['a negative number', { ioasid: -1 }, 'rfc-argsz-flags-or-number'],
    ['an unknown number', { ioasid: 7 }, 'proposal-ioasid-not-found'],
  ])('MAP with %s is EINVAL', (_, op, reason) => {
    expect(map(attached(), {}, op)).toMatchObject({ errno: EINVAL, reason });
  });
  test('MAP without a device attached is EINVAL', () => {
    const s = opened();
    alloc(s);
    expect(map(s)).toMatchObject({ errno: EINVAL, reason: 'proposal-ioasid-not-attached' });
  });
  test('CHECK_EXTENSION knows TYPE1V2 only', () => {
    const s = opened();
    const ask = (value: bigint): number =>
      s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_CHECK_EXTENSION, null, value).ret;
    expect([ask(1n), ask(2n), ask(3n)]).toEqual([1, 0, 0]);
  });
  test('an unknown command is EINVAL', () => {
    expect(opened().ioctl(IOMMU, 'iommufd', 0x3b6a, null)).toMatchObject({
      errno: EINVAL,
      reason: 'rfc-unknown-command',
    });
  });
});

describe('table 4.4: type1 v2', () => {
  test.each([
    ['neither READ nor WRITE', { flags: 0 }, EINVAL, 'type1v2-permission'],
    ['size 0', { size: 0n }, EINVAL, 'type1v2-misaligned'],
    ['a size that is no multiple of the page', { size: 0x800n }, EINVAL, 'type1v2-misaligned'],
    ['an address that is no multiple of the page', { iova: 0x800n }, EINVAL, 'type1v2-misaligned'],
    ['a range that wraps', { iova: 0xfffffffffffff000n }, EINVAL, 'type1v2-misaligned'],
    ['user memory that wraps', { vaddr: 0xfffffffffffff000n }, EINVAL, 'type1v2-misaligned'],
    ['an overlap at the end', { iova: 0xf000n }, EEXIST, 'type1v2-overlap'],
    ['an overlap in the middle', { iova: 0x11000n, size: 0x1000n }, EEXIST, 'type1v2-overlap'],
    ['a reserved range', { iova: 0xfedff000n }, EINVAL, 'type1v2-not-permitted-range'],
    ['a range beyond the address width', { iova: 1n << 48n }, EINVAL, 'type1v2-not-permitted-range'],
  ])('a map with %s is refused', (_, fields, errno, reason) => {
    const s = attached();
    expect(map(s).ret).toBe(0);
    expect(map(s, fields)).toMatchObject({ errno, reason });
  });
  test('a map is refused with ENOSPC once dma_entry_limit mappings are there', () => {
    const s = attached();
    const { maps } = s.kernel.state.proposal!.files[1]!.spaces[0]!;
    for (let page = 0; page < 65_535; page += 1)
      maps.push({ iovaPage: page, pages: 1, targetPage: 0, flags: 3, owner: 100, lockedPages: 0 });
    expect(map(s, { iova: 0x20000000n })).toMatchObject({ errno: 28, reason: 'type1v2-entry-limit' });
  });
  test.each([
    ['a misaligned address', { iova: 0x800n }, 'type1v2-misaligned'],
    ['size 0', { size: 0n }, 'type1v2-misaligned'],
    ['a range that wraps', { iova: 0xfffffffffffff000n }, 'type1v2-misaligned'],
    ['a range that begins within a mapping', { iova: 0x11000n }, 'type1v2-unmap-cuts'],
    ['a range that ends within a mapping', { iova: 0xf000n }, 'type1v2-unmap-cuts'],
    ['all, with a size', { flags: 2, iova: 0n }, 'type1v2-unmap-all-range'],
  ])('an unmap with %s is EINVAL', (_, fields, reason) => {
    const s = attached();
    map(s);
    expect(unmap(s, fields)).toMatchObject({ errno: EINVAL, reason });
  });
  test('an unmap of several whole mappings removes all, and answers their size', () => {
    const s = attached();
    map(s);
    map(s, { iova: 0x20000n });
    expect(unmap(s, { iova: 0n, size: 0x100000n })).toMatchObject({ ret: 0, bytes: 0x4000n });
  });
  test('an unmap of nothing succeeds with size 0', () => {
    expect(unmap(attached())).toMatchObject({ ret: 0, bytes: 0n });
  });
  test('an unmap stops at the mapping of another process, without an error', () => {
    const s = attached();
    for (const iova of [0x10000n, 0x20000n, 0x30000n]) map(s, { iova });
    const { maps } = s.kernel.state.proposal!.files[1]!.spaces[0]!;
    maps[1] = { ...maps[1]!, owner: 200 };
    expect(unmap(s, { iova: 0n, size: 0x100000n })).toMatchObject({ ret: 0, bytes: 0x2000n });
    expect(maps.length).toBe(3);
    expect(s.kernel.state.proposal!.files[1]!.spaces[0]!.maps.map(({ owner }) => owner)).toEqual([200, 100]);
  });
  test('an unmap of all takes neither address nor size', () => {
    const s = attached();
    map(s);
    expect(unmap(s, { flags: 2, iova: 0n, size: 0n })).toMatchObject({ ret: 0, bytes: 0x2000n });
  });
});
