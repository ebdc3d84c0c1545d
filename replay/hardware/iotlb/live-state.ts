import type { Kernel, PhysicalDevice } from '../../../src/model/index.ts';
import type { DriverLog } from '../driver-op.ts';
import { formatOf } from '../formats/index.ts';
import type { History } from '../history.ts';
import { stepsBetween } from '../step-list.ts';
import { type Cause, type Invalidation, type Tag, WHOLE } from './invalidation.ts';
import { advance, createLiveDomain, type LiveDomain, type TableWatch } from './live-domain.ts';

/** What the drivers know while the log is executed: domains, and what each slot translates by. */

export type SlotNow =
  /** A domain of the kernel's own: what is in it, no trace tells. */
  | { readonly kind: 'own'; readonly tag: Tag }
  | { readonly kind: 'blocked'; readonly tag: null }
  | { readonly kind: 'paging'; readonly tag: Tag; readonly domain: number }
  | {
      readonly kind: 'nested';
      readonly tag: Tag;
      /** Nest parent. */
      readonly domain: number;
      readonly nested: string;
      readonly data: Uint8Array;
    };

/** What somebody saw of the machine that the trace does not tell. */
export interface SeenFacts {
  /** CAP.CM of a VT-d; null when nobody saw it. */
  readonly cachingMode: boolean | null;
  /** Devices that translate by themselves (ATS). */
  readonly ats: ReadonlySet<number>;
}

export const NOTHING_SEEN: SeenFacts = { cachingMode: null, ats: new Set() };

export interface LiveState {
  readonly kernel: Kernel;
  readonly history: History;
  readonly log: DriverLog;
  readonly domains: Map<number, LiveDomain>;
  /** By `slotKey`; a RID that is absent has the kernel's own domain, a PASID none. */
  readonly slots: Map<string, SlotNow>;
  readonly seen: SeenFacts;
  readonly pageBytes: number;
  /** Kernel as major * 100 + minor. */
  readonly release: number;
  /** Call that is being executed. */
  seq: number;
  /** What the log changes at the moment: a nest parent, or nothing of the kernel's. */
  changing: 'parent' | 'nothing';
  readonly tell: (invalidation: Invalidation) => void;
}

export function createLiveState(
  kernel: Kernel,
  history: History,
  log: DriverLog,
  tell: (invalidation: Invalidation) => void,
  seen: SeenFacts = NOTHING_SEEN,
): LiveState {
  const [major = 0, minor = 0] = kernel.profile.release.split('.').map(Number);
  return {
    kernel,
    history,
    log,
    domains: new Map(),
    slots: new Map(),
    seen,
    pageBytes: kernel.profile.pageBytes,
    release: major * 100 + minor,
    seq: 0,
    changing: 'nothing',
    tell,
  };
}

export type Told = Partial<Invalidation> &
  Pick<Invalidation, 'iommu' | 'cache' | 'granularity'> & { readonly cause: Cause };

/** Tells of an invalidation; what is not given is as in `WHOLE`. One shape for all: maps pass here. */
export function emit(state: LiveState, told: Told): void {
  state.tell({
    seq: state.seq,
    who: told.who ?? WHOLE.who,
    cause: told.cause,
    iommu: told.iommu,
    cache: told.cache,
    granularity: told.granularity,
    tag: told.tag ?? null,
    pasid: told.pasid ?? null,
    device: told.device ?? null,
    firstPage: told.firstPage ?? WHOLE.firstPage,
    lastPage: told.lastPage ?? WHOLE.lastPage,
    changedFirst: told.changedFirst ?? WHOLE.changedFirst,
    changedLast: told.changedLast ?? WHOLE.changedLast,
    ofParent: told.ofParent ?? false,
    reaches: told.reaches ?? 'all',
    asid: told.asid ?? null,
    leafOnly: told.leafOnly === undefined ? false : told.leafOnly,
    certainty: told.certainty ?? 'sure',
  });
}

/** Tag of a paging domain. */
export function pagingTag(key: number): Tag {
  return `d${key}`;
}

export function nestedTag(name: string): Tag {
  return `n${name}`;
}

export function ownTag(device: number): Tag {
  return `own${device}`;
}

export function deviceOf({ kernel }: LiveState, index: number): PhysicalDevice {
  const device = kernel.machine.devices[index];
  if (device === undefined) throw new Error(`the machine has no device ${index}`);
  return device;
}

export function slotNow({ slots }: LiveState, device: number, pasid: number): SlotNow {
  const found = slots.get(`${device}/${pasid}`);
  if (found !== undefined) return found;
  return pasid === 0 ? { kind: 'own', tag: ownTag(device) } : { kind: 'blocked', tag: null };
}

export function setSlot({ slots }: LiveState, device: number, pasid: number, now: SlotNow): void {
  slots.set(`${device}/${pasid}`, now);
}

/** Makes the table of a new domain; one of unknown format is followed by nobody. */
export function allocate(state: LiveState, key: number): void {
  const facts = state.log.formats.get(key);
  const domain = state.log.domains.get(key);
  const format = facts === undefined ? null : formatOf(facts);
  if (format !== null && domain !== undefined)
    state.domains.set(key, createLiveDomain(key, domain.iommu, format));
}

/** Does what the log says of a domain's table; `watch` is told unless the table stays as it is. */
export function takeSteps(state: LiveState, key: number, end: number, watch: TableWatch | null): void {
  const domain = state.domains.get(key);
  const steps = state.history.domains.get(key)?.steps;
  if (domain === undefined || steps === undefined) return;
  advance(domain, stepsBetween(steps, state.history, domain.done, end), state.pageBytes, watch);
}
