import type { NotedMemory } from '../guest-memory.ts';
import type { WalkFault } from '../page-table.ts';
import { type Access, READ, WRITE } from '../table-format.ts';
import { amdTag } from './amd.ts';
import type { PageIdentity, Span } from './entry.ts';
import { walkGuestNow } from './guest-walk-now.ts';
import type { Tag } from './invalidation.ts';
import { type LiveDomain, pageIdentity } from './live-domain.ts';
import { deviceOf, type LiveState, type SlotNow } from './live-state.ts';

/** What a walk gives at this moment of a replay, as far as a cache would keep it. */

export interface Walked extends Span {
  /** `unknown`: the trace does not tell what the walk would find. */
  readonly outcome: 'page' | 'fault' | 'unknown';
  /** What the first page of the span translates to, and what the page that was asked for. */
  readonly to: PageIdentity | null;
  readonly here: PageIdentity | null;
  readonly prot: number;
  /** Why nothing lets the access through; `guest` where it is the guest's own table. Null otherwise. */
  readonly fault: WalkFault | 'blocked' | 'guest' | null;
  /** Null while the slot translates nothing. */
  readonly tag: Tag | null;
  /** Tag of the nest parent below; null for a translation of one stage. */
  readonly parent: Tag | null;
  readonly asid: number | null;
  /** Cached for the PASID alone. */
  readonly perPasid: boolean;
  /** What the paging-structure caches keep of the way. */
  readonly tables: readonly Span[];
}

/** What a slot's tag, and the shape of its entries, are in the hardware's terms. */
export interface SlotTag {
  readonly tag: Tag | null;
  readonly parent: Tag | null;
  readonly perPasid: boolean;
}

export function slotTag(state: LiveState, device: number, now: SlotNow): SlotTag {
  const { driver } = deviceOf(state, device).iommu;
  if (now.kind === 'nested') {
    const parent = `d${now.domain}`;
    // An SMMUv3 tags by the parent's VMID and the guest's ASID.
    return driver === 'smmuv3'
      ? { tag: parent, parent, perPasid: false }
      : { tag: now.tag, parent, perPasid: true };
  }
  const format = now.kind === 'paging' ? state.log.formats.get(now.domain)?.format : '';
  if (driver === 'amd')
    return { tag: amdTag(state, device, now), parent: null, perPasid: format === 'amdv2' };
  return { tag: now.tag, parent: null, perPasid: driver === 'vtd' && format === 'vtd-fs' };
}

/** What one access would get. `noted`: what notes told of memory. */
export function walkSlot(
  state: LiveState,
  noted: NotedMemory,
  device: number,
  now: SlotNow,
  page: number,
  access: Access,
): Walked {
  const { tag, parent, perPasid } = slotTag(state, device, now);
  const nothing: Walked = {
    outcome: 'unknown',
    firstPage: page,
    lastPage: page,
    to: null,
    here: null,
    prot: 0,
    fault: null,
    tag,
    parent,
    asid: null,
    perPasid,
    tables: [],
  };
  if (now.kind === 'own') return nothing;
  if (now.kind === 'blocked') return { ...nothing, outcome: 'fault', fault: 'blocked' };
  const domain = state.domains.get(now.domain);
  if (domain === undefined) return nothing;
  if (now.kind === 'paging') return { ...nothing, ...walkDomain(domain, page, access) };
  const guest = walkGuestNow(deviceOf(state, device).iommu.driver, now.data, domain, noted, page);
  if (guest.kind === 'bypass') return { ...nothing, parent: null, ...walkDomain(domain, page, access) };
  if (guest.kind === 'unknown') return nothing;
  const { tables, asid } = guest;
  if (guest.kind === 'fault' || !allows(guest.prot, access))
    return { ...nothing, outcome: 'fault', fault: 'guest', asid, tables };
  const below = walkDomain(domain, guest.ipaPage + page - guest.firstPage, access);
  if (below.outcome === 'fault') return { ...nothing, outcome: 'fault', fault: below.fault, asid, tables };
  return { ...nothing, ...combined(domain, guest, below, page), asid, tables };
}

type DomainWalk = Omit<Walked, 'tag' | 'parent' | 'asid' | 'perPasid'>;

function walkDomain(domain: LiveDomain, page: number, access: Access): DomainWalk {
  const { steps, fault, shift, prot } = domain.table.walk(page, access);
  const { format } = domain.table;
  const all = steps();
  const passed = all.filter(
    ({ word }, at) => word !== null && (fault === 'not-present' || at < all.length - 1),
  );
  const tables = passed.map(({ level }) => spanOf(page, 2 ** (format.itemShift(level) - 12)));
  if (fault !== null)
    return { outcome: 'fault', firstPage: page, lastPage: page, to: null, here: null, prot, fault, tables };
  const pages = 2 ** (shift - 12);
  const firstPage = page - (page % pages);
  return {
    outcome: 'page',
    firstPage,
    lastPage: firstPage + pages - 1,
    to: pageIdentity(domain, firstPage),
    here: pageIdentity(domain, page),
    prot,
    fault: null,
    tables,
  };
}

function spanOf(page: number, pages: number): Span {
  const firstPage = page - (page % pages);
  return { firstPage, lastPage: firstPage + pages - 1 };
}

/** A nested translation is cached at the smaller of the two sizes. */
function combined(
  domain: LiveDomain,
  guest: Span & { readonly ipaPage: number; readonly prot: number },
  below: DomainWalk,
  page: number,
): DomainWalk {
  const pages = Math.min(guest.lastPage - guest.firstPage, below.lastPage - below.firstPage) + 1;
  const span = spanOf(page, pages);
  const ipaPage = guest.ipaPage + span.firstPage - guest.firstPage;
  return { ...below, ...span, prot: guest.prot & below.prot, to: pageIdentity(domain, ipaPage) };
}

function allows(prot: number, access: Access): boolean {
  return (prot & (access === 'w' ? WRITE : READ)) !== 0;
}
