import { describe, expect, test } from 'vitest';
import {
  buildStruct,
  CMD,
  VFIO_DIRTY_PAGES_FLAGS,
  VFIO_EXTENSION,
  VFIO_IOMMU_DIRTY_PAGES,
} from '../../src/uapi/index.ts';
import { rangeOf } from '../support/iova-range.ts';
import { buffer } from '../support/session.ts';
import {
  groupOf,
  startType1,
  startVersion2,
  type Type1Session,
  UNMAP_ALL,
} from '../support/type1-session.ts';

/** What the captures of real machines can not ask: other releases, other IOMMUs, and limits. */

const PAGE = 4096n;
const END = 2n ** 64n;
const { TYPE1, TYPE1v2, TYPE1_NESTING, UPDATE_VADDR, DMA_CC } = VFIO_EXTENSION;
const UNMAP_VADDR = 4;
const MAP_VADDR = 4;
/** An IOMMU whose IOVAs reach up to 2^64, as AMD's version 1 tables do. */
const wholeSpace = groupOf(2, { aperture: rangeOf(0n, END - 1n), reserved: [], domainKind: 'amd' });

describe('SET_IOMMU', () => {
  test('as TYPE1_NESTING needs a driver that can nest, and is gone from Linux 7.3', () => {
    const plain = startType1();
    plain.attach(groupOf(2));
    expect(plain.has(TYPE1_NESTING)).toBe(true);
    expect(plain.setIommu(TYPE1_NESTING)).toBe('type1-attach-no-nesting');
    expect(plain.setIommu(TYPE1v2)).toBe(null);
    const arm = startType1();
    arm.attach(groupOf(2, { canNest: true, domainKind: 'smmuv3' }));
    expect(arm.setIommu(TYPE1_NESTING)).toBe(null);
    const newer = startType1('7.3');
    newer.attach(groupOf(2, { canNest: true, domainKind: 'smmuv3' }));
    expect(newer.has(TYPE1_NESTING)).toBe(false);
    expect(newer.setIommu(TYPE1_NESTING)).toBe('type1-set-iommu-no-driver');
  });

  test('that is refused leaves the container and the state as they were', () => {
    const session = startType1();
    session.attach(groupOf(2));
    session.attach(groupOf(3, { isolatedMsi: false }));
    const { nextSpace } = session.kernel.state;
    const before = JSON.stringify(session.container);
    expect(session.setIommu(TYPE1)).toBe('type1-attach-msi-not-isolated');
    expect(JSON.stringify(session.container)).toBe(before);
    expect(session.kernel.state.nextSpace).toBe(nextSpace);
    expect(session.kernel.spaces.size).toBe(0);
  });

  test('is undone when the last group leaves, with all that was mapped', () => {
    const session = startVersion2([groupOf(2), groupOf(3)]);
    expect(session.map(0n, PAGE)).toBe(null);
    session.detach(2);
    expect(session.unmap(0n, PAGE)).toBe(PAGE);
    expect(session.map(0n, PAGE)).toBe(null);
    session.detach(3);
    expect(session.container).toEqual({ key: 1, groups: [], iommu: null });
    expect(session.map(0n, PAGE)).toBe('type1-no-iommu-yet');
    expect(session.kernel.spaces.size).toBe(0);
  });
});

describe('domains', () => {
  test('of another kind add their page sizes and their aperture, and take them along again', () => {
    const narrow = groupOf(3, {
      domainKind: 'other',
      pageSizes: 0x10000 | 0x200000,
      aperture: rangeOf(0x10000n, 2n ** 39n - 1n),
      reserved: [{ ...rangeOf(0x8000000n, 0x80fffffn), kind: 'msi' }],
    });
    const session = startVersion2([groupOf(2)]);
    expect(session.info()).toEqual({
      pageSizes: 0x40201000n,
      available: 65535,
      iovas: [
        [0n, 0xfedfffffn],
        [0xfef00000n, 2n ** 48n - 1n],
      ],
    });
    expect(session.attach(narrow)).toBe(null);
    expect(session.info()).toEqual({
      pageSizes: 0x200000n,
      available: 65535,
      iovas: [
        [0x10000n, 0x7ffffffn],
        [0x8100000n, 0xfedfffffn],
        [0xfef00000n, 2n ** 39n - 1n],
      ],
    });
    expect(session.map(0x200000n, 0x10000n)).toBe('type1-misaligned');
    expect(session.map(0x200000n, 0x200000n)).toBe(null);
    session.detach(3);
    expect(session.info().iovas).toEqual([
      [0n, 0xfedfffffn],
      [0xfef00000n, 2n ** 48n - 1n],
    ]);
    expect(session.map(0x10000n, PAGE)).toBe(null);
    expect(session.unmap(0x200000n, 0x200000n)).toBe(0x200000n);
  });

  test.each([
    ['below a mapping', 0x100000n, groupOf(3, { aperture: rangeOf(0x200000n, 2n ** 48n - 1n) })],
    ['above a mapping', 2n ** 40n, groupOf(3, { aperture: rangeOf(0n, 2n ** 39n - 1n) })],
  ])('with an aperture that begins or ends %s are refused', (_name, iova, group) => {
    const session = startVersion2([groupOf(2)]);
    expect(session.map(iova, PAGE)).toBe(null);
    const before = JSON.stringify(session.container);
    expect(session.attach(group)).toBe('type1-attach-aperture-conflict');
    expect(JSON.stringify(session.container)).toBe(before);
    session.unmap(0n, 0n, UNMAP_ALL);
    expect(session.attach(group)).toBe(null);
  });

  test('are refused when a reserved region is mapped, unless its driver may give it up', () => {
    const region = rangeOf(0x100000n, 0x1fffffn);
    const session = startVersion2([groupOf(2)]);
    session.map(0x180000n, PAGE);
    const relaxable = groupOf(3, { reserved: [{ ...region, kind: 'direct-relaxable' }] });
    expect(session.attach(relaxable)).toBe(null);
    expect(session.attach(groupOf(4, { reserved: [{ ...region, kind: 'direct' }] }))).toBe(
      'type1-attach-reserved-conflict',
    );
    expect(session.info().iovas[0]).toEqual([0n, 0xfedfffffn]);
  });

  test('without an IOVA in common are refused', () => {
    const low = groupOf(2, { aperture: rangeOf(0n, 0xffffn), reserved: [] });
    const session = startVersion2([low]);
    const high = groupOf(3, { aperture: rangeOf(0x10000n, 0xfffffn) });
    expect(session.attach(high)).toBe('type1-attach-aperture-conflict');
    const all = groupOf(4, { reserved: [{ ...rangeOf(0n, 0xffffn), kind: 'reserved' }] });
    expect(session.attach(all)).toBe('type1-attach-no-iova-left');
  });

  test('that can not block no-snoop traffic take DMA_CC away', () => {
    const session = startVersion2([groupOf(2)]);
    expect([session.has(DMA_CC), session.has(UPDATE_VADDR)]).toEqual([true, true]);
    session.attach(groupOf(3, { enforceCacheCoherency: false }));
    expect(session.has(DMA_CC)).toBe(false);
    session.detach(3);
    expect(session.has(DMA_CC)).toBe(true);
  });

  test('can not be added while the user address of a mapping is invalid', () => {
    const session = startVersion2([groupOf(2)]);
    session.map(0n, PAGE);
    expect(session.unmap(0n, PAGE, UNMAP_VADDR)).toBe(PAGE);
    expect(session.attach(groupOf(3))).toBe('type1-attach-vaddr-invalid');
    expect(session.map(0n, PAGE, MAP_VADDR)).toBe(null);
    expect(session.attach(groupOf(3))).toBe(null);
  });
});

describe('MAP_DMA', () => {
  test('takes 65535 mappings and no more', () => {
    const session = startVersion2([groupOf(2, { reserved: [] })]);
    for (let index = 0n; index < 65535n; index += 1n) {
      if (session.map(index * 2n * PAGE, PAGE) !== null) throw new Error(`mapping ${index} was refused`);
    }
    expect(session.info().available).toBe(0);
    expect(session.map(PAGE, PAGE)).toBe('type1-no-mapping-available');
    expect(session.map(0n, PAGE)).toBe('type1-already-mapped');
    session.unmap(0n, PAGE);
    expect(session.map(PAGE, PAGE)).toBe(null);
  });

  test.each([
    // An address that wraps and a flag that is missing: which check comes first tells the releases apart.
    ['6.12', END - PAGE, 2n * PAGE, 3, 'type1-range-wraps'],
    ['7.3', END - PAGE, 2n * PAGE, 3, 'type1-range-overflow'],
    ['6.12', END - PAGE, 2n * PAGE, 0, 'type1-permission-or-vaddr'],
    ['7.3', END - PAGE, 2n * PAGE, 0, 'type1-range-overflow'],
    ['6.12', 0n, 0n, 0, 'type1-permission-or-vaddr'],
    ['7.3', 0n, 0n, 0, 'type1-size-zero'],
    ['6.12', 1n, END - 1n, 3, 'type1-misaligned'],
    ['7.3', 1n, END - 1n, 3, 'type1-range-overflow'],
  ])('Linux %s: iova %i, size %i, flags %i is refused as %s', (release, iova, size, flags, reason) => {
    expect(startVersion2([groupOf(2)], release).map(iova, size, flags)).toBe(reason);
  });
});

describe('a range that ends at 2^64', () => {
  test('is found and unmapped by Linux 7.3', () => {
    const session = startVersion2([wholeSpace], '7.3');
    expect(session.map(END - PAGE, PAGE)).toBe(null);
    expect(session.map(END - PAGE, PAGE)).toBe('type1-already-mapped');
    expect(session.map(PAGE, PAGE)).toBe(null);
    expect(session.unmap(END - 2n * PAGE, 3n * PAGE)).toBe('type1-range-overflow');
    expect(session.unmap(PAGE, END - PAGE)).toBe(2n * PAGE);
  });

  test('is never found by Linux 6.12: what lies in it stays mapped', () => {
    const session = startVersion2([wholeSpace]);
    expect(session.map(2n ** 63n, PAGE)).toBe(null);
    expect(session.unmap(2n ** 63n, 2n ** 63n)).toBe(0n);
    expect(session.unmap(2n ** 63n, PAGE)).toBe(PAGE);
    expect(session.map(END - PAGE, PAGE)).toBe(null);
    expect(session.unmap(END - PAGE, PAGE)).toBe(0n);
    expect(session.unmap(0n, 0n, UNMAP_ALL)).toBe(0n);
    // What the IOMMU's driver, or a search tree of unknown shape, would say.
    expect(session.map(END - PAGE, PAGE)).toBe('not-modelled');
    expect(session.map(0n, PAGE)).toBe(null);
    expect(session.unmap(0n, PAGE)).toBe('not-modelled');
    session.detach(2);
    expect(session.container.iommu).toBe(null);
  });
});

describe('GET_BITMAP', () => {
  const BITMAP = 0x7f1000000000n;
  const ask = (session: Type1Session, iova: bigint, size: bigint, pgsize: bigint) => {
    const member = { iova, size, pgsize, bitmap_size: 4096n, data: BITMAP };
    const arg = buildStruct(
      VFIO_IOMMU_DIRTY_PAGES,
      { flags: VFIO_DIRTY_PAGES_FLAGS.GET_BITMAP },
      { lengthBytes: 48, member },
    );
    const before = new Uint8Array(4096).fill(0xff);
    return session.ioctl(CMD.VFIO_IOMMU_DIRTY_PAGES, arg, undefined, [buffer(BITMAP, before, 'inout')])
      .reason;
  };

  test('counts in the smallest page that all domains have', () => {
    const session = startVersion2([groupOf(2, { pageSizes: 0x10000 })]);
    session.dirty(VFIO_DIRTY_PAGES_FLAGS.START);
    session.map(0x10000n, 0x30000n);
    session.map(0x500000n, 0x10000n);
    expect(ask(session, 0x10000n, 0x600000n, PAGE)).toBe('type1-bitmap-page-size');
    expect(ask(session, 0x10000n, 0x600000n, 0x10000n)).toBe(null);
    const writes = session.kernel.call.writes.map(({ page, offset, data }) => [
      page,
      offset,
      [...data.bytes],
    ]);
    const at = Number(BITMAP / PAGE);
    expect(writes).toEqual([
      [at, 0, [7, 0, 0, 0, 0, 0, 0, 0]],
      // The second mapping shares its word with what the user's bitmap held before.
      [at, 8, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ]);
  });

  test.each([
    ['6.12', END - PAGE, PAGE, 'type1-range-wraps'],
    ['7.3', END - PAGE, PAGE, null],
    ['6.12', END - PAGE, 2n * PAGE, 'type1-range-wraps'],
    ['7.3', END - PAGE, 2n * PAGE, 'type1-range-overflow'],
    ['6.12', 0n, 0n, 'type1-bitmap-size'],
    ['7.3', 0n, 0n, 'type1-size-zero'],
  ])('Linux %s: iova %i, size %i is answered with %s', (release, iova, size, reason) => {
    const session = startVersion2([groupOf(2)], release);
    session.dirty(VFIO_DIRTY_PAGES_FLAGS.START);
    expect(ask(session, iova, size, PAGE)).toBe(reason);
  });
});
