import {
  type Context,
  type HwptPaging,
  type Ioas,
  type IovaSpace,
  type Kernel,
  spaceOf,
} from '../../src/model/index.ts';
import type { History, SpaceHistory } from './history.ts';
import {
  addFill,
  dropFill,
  emptyDomain,
  fillsInOrder,
  forgetFill,
  keepFill,
  newFill,
  noteMap,
  slotsOf,
} from './history-fills.ts';
import { note } from './journal.ts';
import { addStep, createStepList, STEP } from './step-list.ts';

/** Domains that join an IOAS or a classic container, and leave. */

/** Every IOAS of a kernel with its context. */
export function* eachIoas(kernel: Kernel): Generator<{ context: Context; ioas: Ioas }> {
  for (const context of Object.values(kernel.state.contexts)) {
    for (const object of Object.values(context.objects)) {
      if (object.type === 'ioas') yield { context, ioas: object };
    }
  }
}

/** `iopt_table_add_domain`, as soon as the HWPT is made. */
export function hwptMade(history: History, kernel: Kernel, contextId: number, id: number): void {
  const context = kernel.state.contexts[contextId];
  const hwpt = context?.objects[id];
  const ioas = hwpt?.type === 'hwpt-paging' ? context?.objects[hwpt.ioas] : undefined;
  if (hwpt?.type !== 'hwpt-paging' || ioas?.type !== 'ioas') return;
  const { key } = hwpt.domain;
  history.hwptKeys.set(`${contextId}:${id}`, key);
  const own = spaceHistory(history, spaceOf(kernel, ioas), false);
  setDomains(history, kernel, own, [...own.domains, key], ioas.largePagesOff);
}

/** `iopt_table_remove_domain`: the last domain takes the place of the one that goes. */
export function hwptGone(history: History, kernel: Kernel, contextId: number, id: number): void {
  const name = `${contextId}:${id}`;
  const key = history.hwptKeys.get(name);
  if (key === undefined) return;
  history.hwptKeys.delete(name);
  for (const own of history.spaces.values()) {
    const at = own.type1 ? -1 : own.domains.indexOf(key);
    if (at < 0) continue;
    const tail = own.domains.pop()!;
    if (tail !== key) own.domains[at] = tail;
    emptyDomain(history, kernel, own, key);
  }
}

function spaceHistory(history: History, space: IovaSpace, type1: boolean): SpaceHistory {
  let own = history.spaces.get(space);
  if (own === undefined) {
    own = { space, type1, domains: [], fills: new Map() };
    history.spaces.set(space, own);
  }
  return own;
}

/** Finds every domain anew: those of classic containers, and whatever a reply told. */
export function followDomains(history: History, kernel: Kernel): void {
  const seen = new Set<IovaSpace>();
  const follow = (space: IovaSpace, type1: boolean, keys: readonly number[], small: boolean): void => {
    seen.add(space);
    if (keys.length === 0 && !history.spaces.has(space)) return;
    setDomains(history, kernel, spaceHistory(history, space, type1), keys, small);
  };
  for (const { context, ioas } of eachIoas(kernel)) {
    const hwpts = ioas.domains.map((id) => context.objects[id] as HwptPaging);
    for (const { id, domain } of hwpts) history.hwptKeys.set(`${context.id}:${id}`, domain.key);
    const keys = hwpts.map(({ domain }) => domain.key);
    follow(spaceOf(kernel, ioas), false, keys, ioas.largePagesOff);
  }
  forgetType1(history, kernel);
  for (const { key, iommu } of Object.values(kernel.state.vfio.containers)) {
    const space = iommu === null ? undefined : kernel.spaces.get(iommu.space);
    if (iommu === null || space === undefined) continue;
    const keys = iommu.domains.map(({ kind }) => type1Key(history, key, kind));
    if (history.journal !== null) noteProbes(history, kernel, space, keys, iommu.iovas[0]);
    follow(space, true, keys, false);
  }
  for (const [space, own] of history.spaces) {
    if (seen.has(space)) continue;
    for (const fill of [...own.fills.values()]) forgetFill(history, own, fill);
    history.spaces.delete(space);
  }
}

/** A domain of a kind that a container gets later is another one. */
function forgetType1({ type1Keys }: History, { state }: Kernel): void {
  const there = new Set<string>();
  for (const { key, iommu } of Object.values(state.vfio.containers))
    for (const { kind } of iommu?.domains ?? []) there.add(`${key}:${kind}`);
  for (const name of type1Keys.keys()) if (!there.has(name)) type1Keys.delete(name);
}

/** Domains of a classic container have no key of their own: they count down from -1. */
export function type1Key(history: History, container: number, kind: string): number {
  const name = `${container}:${kind}`;
  const known = history.type1Keys.get(name);
  if (known !== undefined) return known;
  history.type1Count += 1;
  const key = -history.type1Count;
  history.type1Keys.set(name, key);
  return key;
}

/** Where `vfio_test_domain_fgsp` tries a new domain; null where there is no room, or no probe any more. */
export function probedPage(
  { profile }: Kernel,
  range: { readonly startPage: number; readonly lastPage: number } | undefined,
): number | null {
  const [major = 0, minor = 0] = profile.release.split('.').map(Number);
  if (range === undefined || major * 100 + minor >= WITHOUT_PROBE) return null;
  const pages = profile.pageBytes / 4096;
  const page = Math.ceil(range.startPage / (2 * pages)) * 2 * pages;
  return range.lastPage - page < 2 * pages ? null : page;
}

/** Linux 6.16 took the probe away. */
const WITHOUT_PROBE = 616;

/** `vfio_test_domain_fgsp` of the domains that are new, in the first usable range. */
function noteProbes(
  { spaces, journal }: History,
  kernel: Kernel,
  space: IovaSpace,
  keys: readonly number[],
  range: { readonly startPage: number; readonly lastPage: number } | undefined,
): void {
  const page = probedPage(kernel, range);
  if (journal === null || page === null) return;
  const old = spaces.get(space)?.domains ?? [];
  for (const domain of keys) if (!old.includes(domain)) note(journal, { op: 'probe', domain, page });
}

function setDomains(
  history: History,
  kernel: Kernel,
  own: SpaceHistory,
  keys: readonly number[],
  small: boolean,
): void {
  const joined = keys.filter((key) => !own.domains.includes(key));
  if (joined.length > 0 && own.domains.length === 0) {
    // Without a domain nothing is pinned; the first one pins what is behind the addresses then.
    for (const slot of slotsOf(own.space))
      keepFill(history, own, newFill(history, kernel, own.space, slot, small));
  }
  own.domains = [...keys];
  if (keys.length === 0) for (const fill of [...own.fills.values()]) forgetFill(history, own, fill);
  if (joined.length === 0) return;
  const inOrder = fillsInOrder(history, own);
  for (const key of joined) {
    const steps = createStepList();
    for (const row of inOrder) addStep(steps, row, small ? STEP.mapSmall : STEP.map);
    history.domains.set(key, { key, steps, tracked: false });
    for (const row of inOrder) noteMap(history, own, [key], row, small);
  }
}

/** The areas of an IOAS were changed behind the effects: by what a reply was found to say. */
export function followAreas(history: History, kernel: Kernel, own: SpaceHistory): void {
  if (own.domains.length === 0) return;
  const { areas } = own.space;
  const { fills } = history;
  const slots = new Map(slotsOf(own.space).map((slot) => [areas.startPage[slot]!, slot]));
  for (const row of [...own.fills.values()]) {
    const page = fills.page[row]!;
    const pageCount = fills.pageCount[row]!;
    const slot = slots.get(page);
    const isSame = slot !== undefined && areas.lastPage[slot]! - page + 1 === pageCount;
    if (!isSame) dropFill(history, kernel, own, row, pageCount);
  }
  for (const [page, slot] of slots) {
    if (!own.fills.has(page))
      addFill(history, own, newFill(history, kernel, own.space, slot, isSmall(kernel, own.space)));
  }
}

function isSmall(kernel: Kernel, space: IovaSpace): boolean {
  for (const { ioas } of eachIoas(kernel)) if (spaceOf(kernel, ioas) === space) return ioas.largePagesOff;
  return false;
}
