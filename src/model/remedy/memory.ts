import { pageOf } from '../address.ts';
import type { AreaTable } from '../area-table.ts';
import { objectIn, wideIn } from '../check-order/check.ts';
import { type Kernel, spaceOf } from '../kernel.ts';
import { areAreasAligned } from '../mapping.ts';
import { FROM_USER, isDmabuf } from '../pages-table.ts';
import type { Ioas } from '../state.ts';
import { isAccessible } from '../user-memory.ts';
import { type Explain, hex, listed, ofArea, plain, remedy, slotsOf } from './finding.ts';

/** Refusals about user memory, and about areas that a newcomer to the IOAS can not take. */

/** Bytes of a page of the address space, whatever the size of a page. */
const PAGE = 4096;

/** The first page of first..last that can not be pinned; null when all can. */
function firstUnpinnable(
  kernel: Kernel,
  mm: number,
  first: number,
  last: number,
  write: boolean,
): number | null {
  const reaches = (to: number): boolean => isAccessible(kernel.memory, mm, first, to, write, true);
  if (reaches(last)) return null;
  let good = first - 1;
  let bad = last;
  while (bad - good > 1) {
    const middle = good + Math.floor((bad - good) / 2);
    if (reaches(middle)) good = middle;
    else bad = middle;
  }
  return bad;
}

/** MAP looks at its own range; an attach looks at all areas. */
const unpinnable: Explain = (refused) => {
  const { kernel, context, mm, command } = refused;
  const start = { IOMMU_IOAS_MAP: 'user_va', VFIO_IOMMU_MAP_DMA: 'vaddr' }[command];
  if (start !== undefined && mm !== null) {
    const address = wideIn(refused, start);
    const length = wideIn(refused, command === 'IOMMU_IOAS_MAP' ? 'length' : 'size');
    // Bit 1 is WRITEABLE of IOAS_MAP and WRITE of MAP_DMA alike.
    const isWrite = (wideIn(refused, 'flags') & 2n) !== 0n;
    const bad = firstUnpinnable(kernel, mm, pageOf(address), pageOf(address + length - 1n), isWrite);
    if (bad === null) return null;
    const access = isWrite ? 'writing' : 'reading';
    return remedy([
      plain(`the page at user address ${hex(BigInt(bad) * 4096n)} can not be pinned for ${access}`),
    ]);
  }
  const ioas = objectIn(refused, 'pt_id') ?? objectIn(refused, 'id');
  if (ioas?.type !== 'ioas') return null;
  const { areas } = spaceOf(kernel, ioas);
  const bad = slotsOf(kernel, ioas).filter((slot) => isLost(kernel, areas, slot));
  return remedy(
    listed(bad, (slot) => ofArea(kernel, context, ioas, slot, 'holds user memory that can not be pinned')),
    bad.length === 0 ? null : 'after these areas are unmapped',
  );
};

function isLost(kernel: Kernel, areas: AreaTable, slot: number): boolean {
  const { pages: table } = kernel;
  const pages = areas.pages[slot]!;
  if (isDmabuf(table, pages)) return false;
  const first = table.basePage[pages]! + areas.firstIndex[slot]!;
  const bytes =
    (areas.lastPage[slot]! - areas.startPage[slot]!) * PAGE +
    areas.lastOffset[slot]! -
    areas.startOffset[slot]!;
  const last = first + Math.floor((areas.pageOffset[slot]! + bytes) / PAGE);
  const isUser = table.source[pages] === FROM_USER;
  return !isAccessible(
    kernel.memory,
    table.mm[pages]!,
    first,
    last,
    isUser && table.writable[pages] === 1,
    true,
  );
}

/** Buffers of the call that the recorder saw fault. */
const bufferFault: Explain = (refused) => {
  const { call, at } = refused;
  if (call.op !== 'ioctl') return null;
  if (at === 'answer') return remedy([plain(`the struct at ${hex(call.argp)} can be read but not written`)]);
  const pointer = at === null ? 0n : wideIn(refused, at);
  return remedy([plain(pointer === 0n ? `${at} is NULL` : `${at} points to ${hex(pointer)}`)]);
};

/** Whole pages are asked for by pinning access objects and when large pages go; half pages by the mock. */
function newAlignment(kernel: Kernel, command: string): number | null {
  const { pageBytes } = kernel.profile;
  if (/CREATE_ACCESS|ACCESS_REPLACE|OPTION|SET_IOMMU|HW_QUEUE/.test(command)) return pageBytes;
  return /MOCK_DOMAIN|PASID/.test(command) ? pageBytes / 2 : null;
}

const areasMisaligned: Explain = (refused) => {
  const { kernel, context, command } = refused;
  const ioas = iosOfNewcomer(refused);
  const alignment = newAlignment(kernel, command);
  if (ioas === null || alignment === null) return null;
  const { areas } = spaceOf(kernel, ioas);
  const off = slotsOf(kernel, ioas).filter((slot) => {
    const length = areas.lastOffset[slot]! + 1 - areas.startOffset[slot]!;
    return [areas.startOffset[slot]!, length, areas.pageOffset[slot]!].some(
      (value) => value % alignment !== 0,
    );
  });
  if (areAreasAligned(spaceOf(kernel, ioas), alignment)) return null;
  return remedy(
    listed(off, (slot) => ofArea(kernel, context, ioas, slot, `is not aligned to ${alignment} bytes`)),
    'after these areas are unmapped',
  );
};

function iosOfNewcomer(refused: Parameters<Explain>[0]): Ioas | null {
  const { context } = refused;
  const viommu = objectIn(refused, 'viommu_id');
  const parent = viommu?.type === 'viommu' ? context.objects[viommu.hwpt] : undefined;
  const candidates = [
    parent?.type === 'hwpt-paging' ? context.objects[parent.ioas] : undefined,
    ...['ioas_id', 'object_id', 'pt_id', 'id'].map((field) => objectIn(refused, field)),
    context.objects[context.vfioIoas],
  ];
  const ioas = candidates.find((object) => object?.type === 'ioas');
  return ioas?.type === 'ioas' ? ioas : null;
}

export const MEMORY_REMEDIES: Readonly<Record<string, Explain>> = {
  'user-memory-not-pinnable': unpinnable,
  'user-buffer-fault': bufferFault,
  'areas-misaligned': areasMisaligned,
};
