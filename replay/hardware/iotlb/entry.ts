import type { Invalidation, Tag } from './invalidation.ts';

/** What a cache of translations holds. */

/**
 * The page behind a translation: its frame where the trace tells it, else the place in user memory, which
 * stays what it is while it is pinned.
 */
export interface PageIdentity {
  /** Frame of the first page; UNKNOWN_FRAME when no note told it. */
  readonly frame: number;
  /** Memory object and page of it, `12:345`; empty where the trace does not know the memory either. */
  readonly memory: string;
}

/** Pages that one entry spans, inclusive. */
export interface Span {
  readonly firstPage: number;
  readonly lastPage: number;
}

/** Why an entry is no longer what a walk would give. */
export interface Staleness {
  /** Call that changed the translation. */
  readonly seq: number;
  /** What a walk gives since then. */
  readonly now: 'nothing' | 'another page' | 'other permissions' | 'another entry' | 'unknown';
  /** Who has to invalidate, and what would have done it. */
  readonly needed: Invalidation;
}

export interface Entry extends Span {
  readonly cache: 'iotlb' | 'device-tlb' | 'walk';
  readonly iommu: string;
  readonly tag: Tag;
  readonly pasid: number;
  /** Device whose access filled it. */
  readonly device: number;
  /** Nested translations: the tag of the second stage's domain, whose changes concern them too. */
  readonly parent: Tag | null;
  /** SMMUv3: the guest's ASID where its tables are known; null otherwise. */
  readonly asid: number | null;
  /** Null for a paging structure, and where nobody can tell what was translated to. */
  readonly to: PageIdentity | null;
  /** Bits READ and WRITE. */
  readonly prot: number;
  /** Call (or record) that filled it. */
  readonly filledAt: number;
  stale: Staleness | null;
}

/** Whether two translations lead to the same page; null when that can not be known. */
export function isSamePage(one: PageIdentity, other: PageIdentity): boolean | null {
  if (one.frame >= 0 && other.frame >= 0) return one.frame === other.frame;
  if (one.memory !== '' && other.memory !== '') return one.memory === other.memory;
  return null;
}
