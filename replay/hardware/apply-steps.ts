import { runsOf } from './contiguous-runs.ts';
import type { Fill, TableStep } from './fills.ts';
import type { FrameRun } from './frame-run.ts';
import type { PageTable } from './page-table.ts';
import { unmappedAtOnce } from './unmap-ranges.ts';

/** Does to a table what was done to its domain. `pageBytes`: page of the CPU. */
export function applySteps(table: PageTable, steps: readonly TableStep[], pageBytes: number): void {
  for (const step of steps) {
    if (step.step === 'map') mapFill(table, step.fill, pageBytes / 4096);
    else {
      const { page } = step.fill;
      for (const { first, count } of unmappedAtOnce(step)) table.unmap(page + first, count);
    }
  }
}

/** `batch_to_domain`: one `iommu_map` for each run of contiguous frames, or for each page of the CPU. */
function mapFill(table: PageTable, fill: Fill, cpuPages: number): void {
  const { page, prot } = fill;
  for (const { first, count, frame } of mappedAtOnce(fill, cpuPages)) {
    table.map(page + first, count, frame, prot);
  }
}

/** The `iommu_map` calls of an area, in order. `cpuPages`: 4096-byte pages in one of the CPU. */
export function mappedAtOnce({ pages, pageCount, small }: Fill, cpuPages: number): FrameRun[] {
  const runs = runsOf(pages, pageCount);
  return small ? runs.flatMap((run) => pieces(run, cpuPages)) : runs;
}

function pieces({ first, count, frame }: FrameRun, most: number): FrameRun[] {
  return Array.from({ length: Math.ceil(count / most) }, (_, piece) => ({
    first: first + piece * most,
    count: Math.min(most, count - piece * most),
    frame: frame < 0 ? frame : frame + piece * most,
  }));
}
