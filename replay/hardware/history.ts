import {
  type Context,
  type EffectSink,
  type HwptPaging,
  type Ioas,
  type IovaSpace,
  type Kernel,
  NO_EFFECTS,
  pinnedPageRuns,
  spaceOf,
} from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { BATCH_RUNS, type Fill, type TableStep, TYPE1_RUNS } from './fills.ts';
import {
  createPhysicalPages,
  type PhysicalPages,
  pinPages,
  takeHugeMapping,
  takeNote,
  unpinPages,
} from './physical-pages.ts';

/**
 * What a replay did to each domain. It follows the effects of the calls: areas mapped and unmapped in an IOAS
 * go to all of its domains; a domain that joins gets all areas there are.
 */

export interface DomainHistory {
  readonly key: number;
  readonly steps: TableStep[];
  /** Dirty tracking is or was on. */
  tracked: boolean;
}

interface SpaceHistory {
  readonly space: IovaSpace;
  /** Of a classic container: /dev/vfio/vfio without iommufd. */
  readonly type1: boolean;
  /** Keys of the domains that are filled. */
  domains: number[];
  /** Areas in the domains, by first page. */
  readonly fills: Map<number, Fill>;
}

export interface History {
  readonly physical: PhysicalPages;
  readonly domains: Map<number, DomainHistory>;
  readonly spaces: Map<IovaSpace, SpaceHistory>;
  /** Keys of the domains of classic containers, by container and kind. */
  readonly type1Keys: Map<string, number>;
  /** Objects came or went: which domains an IOAS has must be looked up again. */
  stale: boolean;
}

export function createHistory(): History {
  return {
    physical: createPhysicalPages(),
    domains: new Map(),
    spaces: new Map(),
    type1Keys: new Map(),
    stale: false,
  };
}

/** What a kernel tells a history. */
export function historySink(history: History, kernel: Kernel): EffectSink {
  const touch = (): void => {
    history.stale = true;
  };
  return {
    ...NO_EFFECTS,
    objectCreated: touch,
    objectDestroyed: touch,
    deviceAttached: touch,
    deviceReplaced: touch,
    deviceDetached: touch,
    rangeMapped: (context, ioas, space, slot) => fillArea(history, kernel, context, ioas, space, slot),
    rangeUnmapped: (_context, _ioas, space, slot) => emptyArea(history, space, slot),
  };
}

/** After each record of the trace. `diverged`: the model took over what the record said. */
export function afterCall(history: History, kernel: Kernel, call: Call, diverged: boolean): void {
  if (call.op === 'note') {
    if (call.kind === 'pagemap') takeNote(history.physical, kernel, call);
    return;
  }
  if (call.op === 'mmap') takeHugeMapping(history.physical, kernel, call);
  if (diverged) history.stale = true;
  // SET_IOMMU of a classic container makes no object, nor does a group that leaves one.
  if (call.op === 'close' || (call.op === 'ioctl' && TYPE1_CALLS.has(call.cmd))) history.stale = true;
  if (call.op === 'ioctl' && call.cmd === CMD.IOMMU_HWPT_SET_DIRTY_TRACKING) noteTracking(history, kernel);
  if (!history.stale) return;
  followDomains(history, kernel);
  history.stale = false;
  if (diverged) for (const each of history.spaces.values()) followAreas(history, kernel, each);
}

/** After what no record tells: the exit of a process. */
export function afterExit(history: History, kernel: Kernel): void {
  if (history.stale) followDomains(history, kernel);
  history.stale = false;
}

const TYPE1_CALLS: ReadonlySet<number> = new Set([
  CMD.VFIO_SET_IOMMU,
  CMD.VFIO_GROUP_SET_CONTAINER,
  CMD.VFIO_GROUP_UNSET_CONTAINER,
]);

function areaPages({ areas }: IovaSpace, slot: number): { page: number; pageCount: number } {
  const page = areas.startPage[slot]!;
  return { page, pageCount: areas.lastPage[slot]! - page + 1 };
}

function fillArea(
  history: History,
  kernel: Kernel,
  context: number,
  ioas: number,
  space: IovaSpace,
  slot: number,
): void {
  const own = history.spaces.get(space);
  if (own === undefined || own.domains.length === 0) return;
  // A type1 container has no IOAS.
  const object = ioas === 0 ? undefined : kernel.state.contexts[context]?.objects[ioas];
  const small = object?.type === 'ioas' && object.largePagesOff;
  addFill(history, own, newFill(history, kernel, space, slot, small));
}

function newFill(history: History, kernel: Kernel, space: IovaSpace, slot: number, small: boolean): Fill {
  const { page, pageCount } = areaPages(space, slot);
  const { areas } = space;
  const runs = pinnedPageRuns(kernel, areas.pages[slot]!, areas.firstIndex[slot]!, pageCount);
  const prot = areas.prot[slot]!;
  return { page, pageCount, prot, pages: pinPages(history.physical, runs), small };
}

function addFill(history: History, own: SpaceHistory, fill: Fill): void {
  own.fills.set(fill.page, fill);
  for (const key of own.domains) history.domains.get(key)?.steps.push({ step: 'map', fill });
}

function emptyArea(history: History, space: IovaSpace, slot: number): void {
  const own = history.spaces.get(space);
  if (own === undefined) return;
  const { page, pageCount } = areaPages(space, slot);
  const fill = own.fills.get(page);
  if (fill !== undefined) dropFill(history, own, fill, pageCount);
}

function dropFill(history: History, own: SpaceHistory, fill: Fill, pageCount: number): void {
  own.fills.delete(fill.page);
  unpinPages(history.physical, fill.pages);
  own.domains.forEach((key, place) => {
    // Only the domain that the pages are read back from is emptied in batches.
    const runsAtOnce = own.type1 ? TYPE1_RUNS : place === 0 ? BATCH_RUNS : Number.POSITIVE_INFINITY;
    history.domains.get(key)?.steps.push({ step: 'unmap', fill, pageCount, runsAtOnce });
  });
}

/** Every IOAS of a kernel with its context. */
export function* eachIoas(kernel: Kernel): Generator<{ context: Context; ioas: Ioas }> {
  for (const context of Object.values(kernel.state.contexts)) {
    for (const object of Object.values(context.objects)) {
      if (object.type === 'ioas') yield { context, ioas: object };
    }
  }
}

function followDomains(history: History, kernel: Kernel): void {
  const seen = new Set<IovaSpace>();
  const follow = (space: IovaSpace, type1: boolean, keys: readonly number[], small: boolean): void => {
    seen.add(space);
    let own = history.spaces.get(space);
    if (own === undefined) {
      if (keys.length === 0) return;
      own = { space, type1, domains: [], fills: new Map() };
      history.spaces.set(space, own);
    }
    setDomains(history, kernel, own, keys, small);
  };
  for (const { context, ioas } of eachIoas(kernel)) {
    const keys = ioas.domains.map((id) => (context.objects[id] as HwptPaging).domain.key);
    follow(spaceOf(kernel, ioas), false, keys, ioas.largePagesOff);
  }
  for (const { key, iommu } of Object.values(kernel.state.vfio.containers)) {
    const space = iommu === null ? undefined : kernel.spaces.get(iommu.space);
    if (iommu === null || space === undefined) continue;
    // `domain_list` has the newest first.
    const keys = iommu.domains.map(({ kind }) => type1Key(history, key, kind)).reverse();
    follow(space, true, keys, false);
  }
  for (const [space, own] of history.spaces) {
    if (seen.has(space)) continue;
    for (const { pages } of own.fills.values()) unpinPages(history.physical, pages);
    history.spaces.delete(space);
  }
}

/** Domains of a classic container have no key of their own: they count down from -1. */
export function type1Key(history: History, container: number, kind: string): number {
  const name = `${container}:${kind}`;
  const known = history.type1Keys.get(name);
  if (known !== undefined) return known;
  const key = -1 - history.type1Keys.size;
  history.type1Keys.set(name, key);
  return key;
}

function setDomains(
  history: History,
  kernel: Kernel,
  own: SpaceHistory,
  keys: readonly number[],
  small: boolean,
): void {
  const joined = keys.filter((key) => !own.domains.includes(key));
  if (own.domains.length === 0 || keys.length === 0) {
    // Without a domain nothing is pinned; the first one pins what is behind the addresses then.
    for (const { pages } of own.fills.values()) unpinPages(history.physical, pages);
    own.fills.clear();
  }
  if (joined.length > 0 && own.domains.length === 0) {
    for (const slot of slotsOf(own.space)) {
      const fill = newFill(history, kernel, own.space, slot, small);
      own.fills.set(fill.page, fill);
    }
  }
  own.domains = [...keys];
  const inOrder = [...own.fills.values()].sort((a, b) => a.page - b.page);
  for (const key of joined) {
    const steps: TableStep[] = inOrder.map((fill) => ({ step: 'map', fill: { ...fill, small } }));
    history.domains.set(key, { key, steps, tracked: false });
  }
}

function slotsOf({ areas }: IovaSpace): number[] {
  return areas.chunks.flatMap((chunk) => [...chunk.slot.subarray(0, chunk.count)]);
}

/** The areas of an IOAS were changed behind the effects: by what a reply was found to say. */
function followAreas(history: History, kernel: Kernel, own: SpaceHistory): void {
  if (own.domains.length === 0) return;
  const slots = new Map(slotsOf(own.space).map((slot) => [areaPages(own.space, slot).page, slot]));
  for (const fill of [...own.fills.values()]) {
    const slot = slots.get(fill.page);
    const isSame = slot !== undefined && areaPages(own.space, slot).pageCount === fill.pageCount;
    if (!isSame) dropFill(history, own, fill, fill.pageCount);
  }
  for (const [page, slot] of slots) {
    if (!own.fills.has(page))
      addFill(history, own, newFill(history, kernel, own.space, slot, isSmall(kernel, own.space)));
  }
}

function noteTracking(history: History, kernel: Kernel): void {
  for (const { context, ioas } of eachIoas(kernel)) {
    for (const id of ioas.domains) {
      const hwpt = context.objects[id];
      if (hwpt?.type !== 'hwpt-paging' || !hwpt.tracking) continue;
      const domain = history.domains.get(hwpt.domain.key);
      if (domain !== undefined) domain.tracked = true;
    }
  }
}

function isSmall(kernel: Kernel, space: IovaSpace): boolean {
  for (const { ioas } of eachIoas(kernel)) if (spaceOf(kernel, ioas) === space) return ioas.largePagesOff;
  return false;
}
