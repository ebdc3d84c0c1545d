import { applySteps } from '../apply-steps.ts';
import type { Fill, TableStep } from '../fills.ts';
import { createPageTable, type PageTable } from '../page-table.ts';
import { frameAt } from '../physical-pages.ts';
import { type TableFormat, UNKNOWN_FRAME } from '../table-format.ts';
import type { PageIdentity } from './entry.ts';

/** A paging domain as it is at a moment of the replay: its table, and what memory is behind it. */
export interface LiveDomain {
  readonly key: number;
  readonly iommu: string;
  readonly table: PageTable;
  /** Areas that are in it, by first page. */
  readonly fills: Fill[];
  /** Steps of the domain's history that were done. */
  done: number;
  /** No device translates by it, so nobody caches it: nothing needs to be invalidated. */
  users: number;
}

export function createLiveDomain(key: number, iommu: string, format: TableFormat): LiveDomain {
  return { key, iommu, table: createPageTable(format), fills: [], done: 0, users: 0 };
}

/** Told of each `iommu_map` and `iommu_unmap`, before the table changes. */
export interface TableWatch {
  map(page: number, pageCount: number, frame: number): void;
  unmap(page: number, pageCount: number): void;
  /** The unmaps of one area are over. */
  unmapped(): void;
}

/** Does further steps of a domain's history. Without a watch nobody is told. */
export function advance(
  domain: LiveDomain,
  steps: readonly TableStep[],
  pageBytes: number,
  watch: TableWatch | null,
): void {
  const table = watch === null ? domain.table : watched(domain.table, watch);
  for (const step of steps) {
    domain.done += 1;
    applySteps(table, [step], pageBytes);
    if (step.step === 'map') addFill(domain, step.fill);
    else {
      removeFill(domain, step.fill);
      watch?.unmapped();
    }
  }
}

function watched(table: PageTable, watch: TableWatch): PageTable {
  return {
    ...table,
    map(page, pageCount, frame, prot) {
      watch.map(page, pageCount, frame);
      table.map(page, pageCount, frame, prot);
    },
    unmap(page, pageCount) {
      watch.unmap(page, pageCount);
      table.unmap(page, pageCount);
    },
  };
}

/** Index of the first area that begins above a page. */
function placeAfter(fills: readonly Fill[], page: number): number {
  let low = 0;
  let high = fills.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fills[middle]!.page > page) high = middle;
    else low = middle + 1;
  }
  return low;
}

function addFill({ fills }: LiveDomain, fill: Fill): void {
  fills.splice(placeAfter(fills, fill.page), 0, fill);
}

function removeFill({ fills }: LiveDomain, { page }: Fill): void {
  const at = placeAfter(fills, page) - 1;
  if (fills[at]?.page === page) fills.splice(at, 1);
}

/** The area with a page. */
export function fillAt({ fills }: LiveDomain, page: number): Fill | null {
  const fill = fills[placeAfter(fills, page) - 1];
  return fill === undefined || page >= fill.page + fill.pageCount ? null : fill;
}

/** What is behind a mapped page; both parts are empty where nothing tells. */
export function pageIdentity(domain: LiveDomain, page: number): PageIdentity {
  const fill = fillAt(domain, page);
  if (fill === null) return { frame: UNKNOWN_FRAME, memory: '' };
  const index = page - fill.page;
  const { runs } = fill.pages;
  const run = runs.findLast((each) => each.index <= index);
  const isInside = run !== undefined && index < run.index + run.count;
  return {
    frame: frameAt(fill.pages, index),
    memory: isInside ? `${run.object}:${run.page + index - run.index}` : '',
  };
}
