import type { IovaSpace } from '../../src/model/index.ts';
import { createFillTable, type FillTable, NO_FILL } from './fill-table.ts';
import type { Journal } from './journal.ts';
import { createPhysicalPages, type PhysicalPages } from './physical-pages.ts';
import type { StepList } from './step-list.ts';

/** What a replay did to each domain (follow-history.ts keeps it up to date). */

export interface DomainHistory {
  readonly key: number;
  readonly steps: StepList;
  /** Dirty tracking is or was on. */
  tracked: boolean;
}

export interface SpaceHistory {
  readonly space: IovaSpace;
  /** Of a classic container: /dev/vfio/vfio without iommufd. */
  readonly type1: boolean;
  /** Keys of the domains that are filled; the pages are read back from the first one. */
  domains: number[];
  /** Areas in the domains: rows of the table of fills, by first page. */
  readonly fills: Map<number, number>;
}

export interface History {
  readonly physical: PhysicalPages;
  readonly fills: FillTable;
  readonly domains: Map<number, DomainHistory>;
  readonly spaces: Map<IovaSpace, SpaceHistory>;
  /** Keys of the domains that classic containers have now, by container and kind. */
  readonly type1Keys: Map<string, number>;
  /** How many they ever had. */
  type1Count: number;
  /** Keys of the domains of HWPTs, by context and object. */
  readonly hwptKeys: Map<string, number>;
  /** The newest area in domains that shows an iopt_pages, by it; the others follow (`nextSharer`). */
  readonly bySource: Map<number, number>;
  /** Processes by address space. */
  readonly owners: Map<number, number | null>;
  /** Objects came or went: which domains an IOAS has must be looked up again. */
  stale: boolean;
  /**
   * The area that the call took away last (a row of `fills`, or NO_FILL), and the op of the journal that says
   * so: if parts of it come back, it was cut in two.
   */
  readonly dropped: { row: number; at: number };
  readonly journal: Journal | null;
}

/** `journal`: also keeps the order of what is done to different domains. */
export function createHistory(journal: Journal | null = null): History {
  return {
    physical: createPhysicalPages(),
    fills: createFillTable(journal !== null),
    domains: new Map(),
    spaces: new Map(),
    type1Keys: new Map(),
    type1Count: 0,
    hwptKeys: new Map(),
    bySource: new Map(),
    owners: new Map(),
    stale: false,
    dropped: { row: NO_FILL, at: 0 },
    journal,
  };
}
