import type { PageTable } from './page-table.ts';
import { frameAt, hasFrames, type PinnedPages } from './physical-pages.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/**
 * What was done to a domain, in order: cheap to note for every map and unmap, worked out when somebody
 * looks.
 */

/** An area as it was put into domains. */
export interface Fill {
  readonly page: number;
  readonly pageCount: number;
  readonly prot: number;
  readonly pages: PinnedPages;
  /** `disable_large_pages`: mapped one CPU page at a time. */
  readonly small: boolean;
}

export type TableStep =
  | { readonly step: 'map'; readonly fill: Fill }
  | {
      readonly step: 'unmap';
      readonly fill: Fill;
      /** Pages of the fill that go, from its first one. */
      readonly pageCount: number;
      /**
       * Physically contiguous runs that one `iommu_unmap` takes away; a table goes with one that covers it.
       */
      readonly runsAtOnce: number;
    };

/** `iopt_area_unpin_domain` reads the runs of an area in batches of 64 KiB, 12 bytes each. */
export const BATCH_RUNS = 5461;
/** `vfio_unmap_unpin` goes run by run. */
export const TYPE1_RUNS = 1;

/** Does to a table what was done to its domain. */
export function applySteps(table: PageTable, steps: readonly TableStep[], pageBytes: number): void {
  for (const step of steps) {
    if (step.step === 'map') mapFill(table, step.fill, pageBytes / 4096);
    else unmapFill(table, step.fill, step.pageCount, step.runsAtOnce);
  }
}

/** `batch_to_domain`: one `iommu_map` for each run of contiguous frames, or for each page of the CPU. */
function mapFill(table: PageTable, fill: Fill, cpuPages: number): void {
  const { page, pageCount, prot, small } = fill;
  eachRun(fill, pageCount, (first, count, frame) => {
    const most = small ? cpuPages : count;
    for (let at = 0; at < count; at += most) {
      table.map(page + first + at, Math.min(most, count - at), frame < 0 ? frame : frame + at, prot);
    }
  });
}

function unmapFill(table: PageTable, fill: Fill, pageCount: number, runsAtOnce: number): void {
  let from = 0;
  let runs = 0;
  eachRun(fill, pageCount, (first) => {
    if (runs === runsAtOnce) {
      table.unmap(fill.page + from, first - from);
      from = first;
      runs = 0;
    }
    runs += 1;
  });
  table.unmap(fill.page + from, pageCount - from);
}

/** Told of pages first..first+count-1 of a fill with ascending frames, or with unknown ones. */
type SeeRun = (first: number, count: number, frame: number) => void;

function eachRun({ pages }: Fill, pageCount: number, see: SeeRun): void {
  if (!hasFrames(pages)) {
    see(0, pageCount, UNKNOWN_FRAME);
    return;
  }
  for (let at = 0; at < pageCount; ) {
    const frame = frameAt(pages, at);
    let end = at + 1;
    while (end < pageCount && frameAt(pages, end) === (frame === UNKNOWN_FRAME ? frame : frame + end - at))
      end += 1;
    see(at, end - at, frame);
    at = end;
  }
}
