import { pageOf } from '../address.ts';
import { objectIn, wideIn } from '../check-order/check.ts';
import { smallestPage } from '../iova-domains.ts';
import { type Kernel, spaceOf } from '../kernel.ts';
import { areAreasAligned } from '../mapping.ts';
import { isDmabuf } from '../pages-table.ts';
import type { Ioas } from '../state.ts';
import { isAccessible } from '../user-memory.ts';
import {
  boundsOf,
  type Explain,
  hex,
  listed,
  ofArea,
  plain,
  type Refused,
  type Remedy,
  rangeOfArea,
  remedy,
  slotsIn,
  slotsOf,
} from './finding.ts';
import { newTable } from './newcomer.ts';
import { sourceOf } from './target.ts';

/** Refusals about user memory, and about areas that a newcomer to the IOAS can not take. */

/** Bytes of a page of the address space, whatever the size of a page. */
const PAGE = 4096n;

/** The first page of first..last that can not be pinned; null when all can. */
export function firstUnpinnable(
  kernel: Kernel,
  mm: number,
  first: number,
  last: number,
  write: boolean,
  withoutDevices = true,
): number | null {
  const reaches = (to: number): boolean => isAccessible(kernel.memory, mm, first, to, write, withoutDevices);
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
      plain(`the page at user address ${hex(BigInt(bad) * PAGE)} can not be pinned for ${access}`),
    ]);
  }
  // An attach and a new page table take all areas, a copy and an access object those of their range.
  const attached = objectIn(refused, 'pt_id') ?? objectIn(refused, 'id');
  const isAttach = attached?.type === 'ioas' && /HWPT_ALLOC|MOCK_DOMAIN|PASID|ATTACH/.test(command);
  const target = isAttach ? { context, ioas: attached, first: 0n, last: 2n ** 64n - 1n } : sourceOf(refused);
  if (target === null) return null;
  const { ioas, first, last } = target;
  const bad = slotsIn(kernel, ioas, first, last).filter((slot) => isLost(kernel, ioas, slot, first, last));
  return remedy(
    listed(bad, (slot) =>
      ofArea(kernel, target.context, ioas, slot, 'holds user memory that can not be pinned'),
    ),
    isAttach && bad.length > 0 ? 'after these areas are unmapped' : null,
  );
};

/** Whether a page of an area that lies in the range is not to be had from its process or file. */
function isLost(kernel: Kernel, ioas: Ioas, slot: number, first: bigint, last: bigint): boolean {
  const { pages: table } = kernel;
  const { areas } = spaceOf(kernel, ioas);
  const pages = areas.pages[slot]!;
  if (isDmabuf(table, pages)) return false;
  const bounds = boundsOf(rangeOfArea(kernel, ioas, slot));
  const from = first > bounds.first ? first - bounds.first : 0n;
  const to = (last < bounds.last ? last : bounds.last) - bounds.first;
  const base = table.basePage[pages]! + areas.firstIndex[slot]!;
  const pageAt = (byte: bigint): number => base + Number((byte + BigInt(areas.pageOffset[slot]!)) / PAGE);
  const isWrite = table.writable[pages] === 1;
  return !isAccessible(kernel.memory, table.mm[pages]!, pageAt(from), pageAt(to), isWrite, true);
}

/** Buffers of the call that the recorder saw fault. */
function bufferFault(refused: Refused): Remedy | null {
  const { call, at } = refused;
  if (call.op !== 'ioctl') return null;
  if (at === 'answer') return remedy([plain(`the struct at ${hex(call.argp)} can be read but not written`)]);
  const pointer = at === null ? 0n : wideIn(refused, at);
  return remedy([plain(pointer === 0n ? `${at} is NULL` : `${at} points to ${hex(pointer)}`)]);
}

/** Whole pages are asked for by pinning access objects and when large pages go, else those of the table. */
function newAlignment(refused: Refused): number | null {
  const { kernel, command } = refused;
  const { pageBytes } = kernel.profile;
  if (/CREATE_ACCESS|ACCESS_REPLACE|OPTION|SET_IOMMU|HW_QUEUE/.test(command)) return pageBytes;
  const table = newTable(refused);
  return table === null ? null : smallestPage(table);
}

const areasMisaligned: Explain = (refused) => {
  const { kernel, context } = refused;
  const ioas = iosOfNewcomer(refused);
  const alignment = newAlignment(refused);
  if (ioas === null || alignment === null) return null;
  const { areas } = spaceOf(kernel, ioas);
  const off = slotsOf(kernel, ioas).filter((slot) => {
    const length = areas.lastOffset[slot]! + 1 - areas.startOffset[slot]!;
    return [areas.startOffset[slot]!, length, areas.pageOffset[slot]!].some(
      (value) => value % alignment !== 0,
    );
  });
  if (areAreasAligned(kernel, spaceOf(kernel, ioas), alignment)) return null;
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
  'areas-misaligned': areasMisaligned,
};

/** The struct of any descriptor may be unwritable. */
export const BUFFER_REMEDIES: Readonly<Record<string, (refused: Refused) => Remedy | null>> = {
  'user-buffer-fault': bufferFault,
};
