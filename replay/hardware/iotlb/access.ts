import type { NotedMemory } from '../guest-memory.ts';
import { featuresOfIommu } from '../smmu-look.ts';
import type { Access } from '../table-format.ts';
import { READ, WRITE } from '../table-format.ts';
import { type Caches, deviceKey, fillCache, translationKey } from './caches.ts';
import type { Entry } from './entry.ts';
import { deviceOf, type LiveState, slotNow } from './live-state.ts';
import { slotTag, type Walked, walkSlot } from './live-walk.ts';
import { fillSlot } from './slot-cache.ts';

/** An access of a device on its way through the caches. */

export interface AccessRequest {
  /** Index in the machine's devices. */
  readonly device: number;
  /** 0: a request without PASID. */
  readonly pasid: number;
  /** Page of 4096 bytes. */
  readonly page: number;
  readonly access: Access;
  /** The device asks for the translation and keeps it (an ATS translation request). */
  readonly translates?: boolean;
}

export interface AccessAnswer extends AccessRequest {
  readonly seq: number;
  /**
   * `hit`: an entry is held that lets it through; `miss`: a walk found the page; `fault`: nothing lets it
   * through; `unknown`: the trace does not tell what a walk would find.
   */
  readonly outcome: 'hit' | 'miss' | 'fault' | 'unknown';
  /** Entries that may answer: more than one where hardware may have forgotten the older. Newest first. */
  readonly held: readonly Entry[];
  /** Entries that the walk left behind. */
  readonly filled: readonly Entry[];
  /** What a walk gives now, whatever is held. */
  readonly walk: Walked;
}

export interface AccessContext {
  readonly state: LiveState;
  readonly noted: NotedMemory;
  readonly caches: Caches;
  /** Record that the access belongs to. */
  readonly seq: number;
  /**
   * A cache without bounds stands for every one that has bounds: what it holds need not be held, so that a
   * walk may take place all the same.
   */
  readonly unbounded: boolean;
}

export function accessPage(context: AccessContext, request: AccessRequest): AccessAnswer {
  const { state, noted, caches, seq, unbounded } = context;
  const { device, pasid, page, access } = request;
  const now = slotNow(state, device, pasid);
  const walk = walkSlot(state, noted, device, now, page, access);
  fillSlot(caches, { device, pasid, page, tag: walk.tag, asid: walk.asid, filledAt: seq, stale: null });
  const held = heldBy(context, request).filter(({ prot }) => (prot & (access === 'w' ? WRITE : READ)) !== 0);
  const filled = held.length > 0 && !unbounded ? [] : fill(context, request, walk, held);
  const outcome =
    held.length > 0
      ? 'hit'
      : walk.outcome === 'page'
        ? 'miss'
        : walk.outcome === 'fault'
          ? 'fault'
          : 'unknown';
  return { ...request, seq, outcome, held, filled, walk };
}

function heldBy({ state, caches }: AccessContext, { device, pasid, page }: AccessRequest): readonly Entry[] {
  const own = caches.deviceTlb.find(deviceKey(device, pasid), page);
  const { tag, perPasid } = slotTag(state, device, slotNow(state, device, pasid));
  if (tag === null) return own;
  const common = caches.iotlb.find(translationKey(tag, pasid, perPasid), page);
  return own.length === 0 ? common : [...own, ...common];
}

/** The device keeps translations: it has ATS, and the IOMMU serves it. */
function hasDeviceTlb(state: LiveState, device: number): boolean {
  const { ats, iommu } = deviceOf(state, device);
  return (
    ats === true && (iommu.driver !== 'smmuv3' || featuresOfIommu(state.kernel, iommu.name)?.ats === true)
  );
}

function fill(
  { state, caches, seq }: AccessContext,
  { device, pasid, translates }: AccessRequest,
  walk: Walked,
  held: readonly Entry[],
): Entry[] {
  const { tag, parent, asid, perPasid, firstPage, lastPage, to, prot } = walk;
  if (walk.outcome !== 'page' || tag === null) return [];
  const base = { iommu: caches.iommu, tag, pasid, device, parent, asid, filledAt: seq, stale: null };
  const isHeld = held.some(
    (entry) =>
      entry.firstPage === firstPage &&
      entry.lastPage === lastPage &&
      entry.prot === prot &&
      entry.to?.frame === to?.frame &&
      entry.to?.memory === to?.memory,
  );
  const filled: Entry[] = [];
  const put = (entry: Entry): void => {
    fillCache(caches, entry, perPasid);
    filled.push(entry);
  };
  if (!isHeld) put({ ...base, cache: 'iotlb', firstPage, lastPage, to, prot });
  const keeps = translates === true && hasDeviceTlb(state, device);
  if (!isHeld && keeps) put({ ...base, cache: 'device-tlb', firstPage, lastPage, to, prot });
  const key = translationKey(tag, pasid, perPasid);
  for (const table of walk.tables) {
    let isKnown = false;
    caches.walks.visit(key, table.firstPage, table.lastPage, (entry) => {
      if (entry.firstPage === table.firstPage && entry.lastPage === table.lastPage) isKnown = true;
    });
    if (!isKnown) put({ ...base, cache: 'walk', ...table, to: null, prot: READ | WRITE });
  }
  return filled;
}
