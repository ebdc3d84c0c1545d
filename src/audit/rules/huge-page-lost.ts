import { firstArea, type IovaSpace, type Kernel, NO_AREA, nextArea } from '../../model/index.ts';
import { mappedLinks } from '../lint/area-book.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { ioasOfTable, spaceOfTable } from '../lint/tables.ts';
import { address, areaSpan, hex, label, text } from '../lint/text.ts';

/** Pages of 4096 bytes in 2 MiB: the smallest large page of VT-d, AMD, RISC-V, and of Arm with 4K pages. */
const LARGE_PAGES = 512;
const LARGE_BYTES = 2 ** 21;
const SMALL_BYTES = 4096;

export const hugePageLost: Rule = {
  id: 'huge-page-lost',
  severity: 'note',
  title: 'A map can not use large pages, because IOVA and address are not aligned to each other',
  doc: {
    detects: text(
      'An area with at least one whole 2 MiB block on an IOMMU that has 2 MiB pages, of which no page',
      'can be a large one: the user address and the IOVA differ modulo 2 MiB, or the IOAS has large',
      'pages switched off (option HUGE_PAGES, or SET_IOMMU type 1). The message has the cost in',
      'page-table entries.',
    ),
    why: text(
      'Each 2 MiB takes 512 entries and a table instead of one entry: more memory, slower maps and',
      'unmaps, and more misses in the IOTLB.',
    ),
    fix: text(
      'Give the memory of a guest an address that is congruent to its IOVA modulo 2 MiB (or 1 GiB):',
      'align the mmap to 2 MiB and split the map where the guest\u2019s memory map is not; or let the',
      'kernel choose the IOVA. Use type 3 (TYPE1v2) in SET_IOMMU.',
    ),
    falseAlarms: text(
      'Memory that is not backed by large pages, or that is not contiguous, gets small ones anyway;',
      'the trace does not tell.',
    ),
    source: text(
      'generic_pt iommu_pt.h, compute_best_pgsize; io_pagetable.c iopt_disable_large_pages; reference',
      '3.8',
    ),
  },
  start(world, report) {
    const { kernel } = world;
    const seen = new WeakSet<IovaSpace>();
    return {
      effects: {
        rangeMapped(context, ioas, space, slot) {
          const { areas } = space;
          // Nearly all maps are smaller than a large page.
          if (areas.lastPage[slot]! - areas.startPage[slot]! < LARGE_PAGES - 1 || ioas === 0) return;
          if (hasLargePages(kernel, context, ioas)) lookAtArea(world, report, context, ioas, space, slot);
        },
        deviceAttached(context, _, hwpt) {
          const ioas = ioasOfTable(kernel, context, hwpt);
          const space = spaceOfTable(kernel, context, hwpt);
          if (ioas === undefined || space === undefined || seen.has(space)) return;
          seen.add(space);
          if (!hasLargePages(kernel, context, ioas.id)) return;
          // What was mapped while there was no page table yet.
          const { areas } = space;
          for (let slot = firstArea(areas); slot !== NO_AREA; slot = nextArea(areas, slot))
            lookAtArea(world, report, context, ioas.id, space, slot);
        },
      },
    };
  },
};

/** Whether a page table of the IOAS has pages of 4 KiB and of 2 MiB. */
function hasLargePages(kernel: Kernel, context: number, id: number): boolean {
  const objects = kernel.state.contexts[context]?.objects;
  const ioas = objects?.[id];
  if (ioas?.type !== 'ioas') return false;
  return ioas.domains.some((each) => {
    const hwpt = objects?.[each];
    if (hwpt?.type !== 'hwpt-paging') return false;
    const { pageSizes } = hwpt.domain;
    return hasSize(pageSizes, LARGE_BYTES) && hasSize(pageSizes, SMALL_BYTES);
  });
}

function hasSize(pageSizes: number, bytes: number): boolean {
  return Math.floor(pageSizes / bytes) % 2 === 1;
}

function lookAtArea(
  world: LintWorld,
  report: Report,
  context: number,
  id: number,
  space: IovaSpace,
  slot: number,
): void {
  const { kernel, areas: book } = world;
  const { areas } = space;
  const blocks = wholeBlocks(areas.startPage[slot]!, areas.startOffset[slot]!, areas.lastPage[slot]! + 1);
  if (blocks < 1) return;
  const pages = areas.pages[slot]!;
  const userPage = kernel.pages.basePage[pages]! + areas.firstIndex[slot]!;
  const skew = modulo(areas.startPage[slot]! - userPage, LARGE_PAGES);
  const ioas = kernel.state.contexts[context]?.objects[id];
  const isOff = ioas?.type === 'ioas' && ioas.largePagesOff;
  if (skew === 0 && !isOff) return;
  const range = areaSpan(space, slot);
  const at = address(userPage, areas.pageOffset[slot]!);
  const why = isOff
    ? `${label('ioas', id)} has large pages switched off`
    : `its memory is at ${hex(at)}, ${hex(skew * SMALL_BYTES)} off modulo 2 MiB`;
  const cost = `${blocks * LARGE_PAGES} entries of 4 KiB in place of ${blocks} of 2 MiB`;
  report({
    seq: book.of(space)?.seq[slot] ?? world.call.seq,
    message: `${range} of ${label('ioas', id)} gets no large page: ${why}; ${cost}`,
    chain: mappedLinks(book.of(space), slot).concat(
      isOff ? [hereLink(world, 'used', 'large pages are off')] : [],
    ),
  });
}

/** Whole 2 MiB blocks of IOVAs from a page up to `endPage`. */
function wholeBlocks(startPage: number, startOffset: number, endPage: number): number {
  const first = Math.ceil((startPage + (startOffset > 0 ? 1 : 0)) / LARGE_PAGES);
  return Math.floor(endPage / LARGE_PAGES) - first;
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
