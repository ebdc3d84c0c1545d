import { BATCH_RUNS, TYPE1_RUNS } from '../fills.ts';
import { placeLeaves } from '../leaf-sizes.ts';
import { UNKNOWN_FRAME } from '../table-format.ts';
import { type Gather, gatherPieces, gatherRange, knowsFrames } from './gather.ts';
import type { LiveDomain, TableWatch } from './live-domain.ts';
import { replacedTables } from './replaced-tables.ts';
import { vtdFacts } from './vtd-facts.ts';
import { flushTags, type Vtd } from './vtd-flush.ts';

/** Maps and unmaps of a VT-d domain: intel/iommu.c of 6.12, iommu_pt.h since 6.19. */

/** First release whose tables are those of iommu_pt.h. */
const GENERIC_TABLES = 619;

export function watchVtdTable(vtd: Vtd, key: number): TableWatch | null {
  const owner = `d${key}`;
  const domain = vtd.state.domains.get(key);
  if (domain === undefined || vtd.tags.of(owner).length === 0) return null;
  const flushUnmapped = (firstPage: number, lastPage: number, leafOnly: boolean | null): void =>
    flushTags(vtd, owner, {
      who: 'kernel',
      cause: 'unmap',
      firstPage,
      lastPage,
      leafOnly,
      certainty: 'sure',
      withDevices: true,
    });
  const flushReplaced = (firstPage: number, lastPage: number, isSure: boolean): void =>
    flushTags(vtd, owner, {
      who: 'kernel',
      cause: 'map',
      firstPage,
      lastPage,
      leafOnly: false,
      certainty: isSure ? 'sure' : 'possible',
      withDevices: true,
    });
  const isGeneric = vtd.state.release >= GENERIC_TABLES;
  const gather: Gather = isGeneric
    ? gatherRange(flushUnmapped, false)
    : gatherPieces(flushUnmapped, true, true);
  return {
    map(page, pageCount, frame) {
      if (frame === UNKNOWN_FRAME) flushPossible(domain, page, pageCount, flushReplaced);
      else if (isGeneric) flushAtOnce(domain, page, pageCount, frame, flushReplaced);
      else flushEach(domain, page, pageCount, frame, flushReplaced);
      flushNew(vtd, owner, domain, page, pageCount, frame);
    },
    unmap(page, pageCount) {
      // Runs that are unmapped one by one, or in batches, part where nobody can tell.
      const atOnce = key >= 0 ? BATCH_RUNS : TYPE1_RUNS;
      if (pageCount > atOnce && !knowsFrames(domain, page)) {
        gather.flush();
        flushTags(vtd, owner, {
          who: 'kernel',
          cause: 'unmap',
          firstPage: page,
          lastPage: page + pageCount - 1,
          leafOnly: null,
          certainty: 'split',
          withDevices: true,
        });
        return;
      }
      gather.add(domain, page, pageCount);
      // A classic container gathers the runs of one call; iommufd unmaps each batch for itself.
      if (key >= 0) gather.flush();
    },
    unmapped: () => gather.flush(),
  };
}

/** intel_iommu_iotlb_sync_map: new entries, in caching mode. A first stage caches nothing absent. */
function flushNew(
  vtd: Vtd,
  owner: string,
  domain: LiveDomain,
  page: number,
  pageCount: number,
  frame: number,
): void {
  const { cachingMode } = vtdFacts(vtd.state, vtd.units, domain.iommu);
  if (cachingMode === false || domain.table.format.name === 'vtd-fs') return;
  const isSplit = frame === UNKNOWN_FRAME && pageCount > 1;
  flushTags(vtd, owner, {
    who: 'kernel',
    cause: 'map',
    firstPage: page,
    lastPage: page + pageCount - 1,
    leafOnly: false,
    certainty: cachingMode === null ? 'possible' : isSplit ? 'split' : 'sure',
    withDevices: false,
  });
}

type FlushReplaced = (firstPage: number, lastPage: number, isSure: boolean) => void;

/**
 * switch_to_super_page: each table in the way of large leaves is flushed, from its place to the end of what
 * is written into one table.
 */
function flushEach(
  { table }: LiveDomain,
  page: number,
  pageCount: number,
  frame: number,
  flush: FlushReplaced,
): void {
  const { leafSizes, itemShift, indexBits } = table.format;
  placeLeaves(leafSizes, page, pageCount, frame, (first, last, size) => {
    const { level } = leafSizes[size]!;
    if (level === 1) return;
    const own = 2 ** (itemShift(level) - 12);
    const span = own * 2 ** indexBits(level);
    for (let from = first; from <= last; ) {
      const end = Math.min(last, from - (from % span) + span - 1);
      for (let at = table.nextTable(level - 1, from); at <= end; at = table.nextTable(level - 1, at + own)) {
        // The kernel gives the first byte of the last page as the end.
        flush(at, end, true);
      }
      from = end + 1;
    }
  });
}

/** clear_contig of iommu_pt.h: all that one `iommu_map` replaced, in one range. */
function flushAtOnce(
  { table }: LiveDomain,
  page: number,
  pageCount: number,
  frame: number,
  flush: FlushReplaced,
): void {
  const replaced = replacedTables(table, page, pageCount, frame);
  if (replaced !== null) flush(replaced.first, replaced.last, true);
}

/** Where frames are unknown, so are leaves: tables may be in the way wherever there may be one. */
function flushPossible({ table }: LiveDomain, page: number, pageCount: number, flush: FlushReplaced): void {
  const large = table.format.leafSizes.find(({ level }) => level === 2);
  if (large === undefined) return;
  const pages = 2 ** (large.shift - 12);
  const first = Math.ceil(page / pages) * pages;
  const last = Math.floor((page + pageCount) / pages) * pages - 1;
  if (table.nextTable(1, first) <= last) flush(first, last, false);
}
