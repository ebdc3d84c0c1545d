import type { GuestRange } from '../driver-op.ts';
import type { GuestCommand } from '../smmu-guest-commands.ts';
import type { Span } from './entry.ts';
import type { TableWatch } from './live-domain.ts';
import type { SlotNow } from './live-state.ts';

/** What a driver invalidates when something changes. Slots are given as they become; see LiveState.slots. */
export interface CacheDriver {
  /** An entry that named nothing names a table. */
  enter(device: number, pasid: number, to: SlotNow): void;
  /** What the slot has goes away. */
  leave(device: number, pasid: number): void;
  /** Watches the changes of a domain's table; null while nobody caches it. */
  watch(domain: number): TableWatch | null;
  /** User space gave ranges of a guest's table. */
  invalidate(nested: string, ranges: readonly GuestRange[]): void;
  /** User space gave commands to a vIOMMU. */
  guest?(parent: number, commands: readonly GuestCommand[], streams: ReadonlyMap<number, number>): void;
  /** Dirty tracking of a domain was switched. */
  track(domain: number): void;
  /**
   * Dirty bits of these pages were cleared (null: of none). Not `isSure` where the trace does not tell which.
   * An SMMUv3 flushes nothing then: arm_smmu_iotlb_sync wants a page size, which nobody gathered.
   */
  cleared?(domain: number, range: Span | null, isSure: boolean): void;
  /** A domain comes or goes. */
  allocate?(domain: number): void;
  free?(domain: number): void;
}

/** `iommu_iotlb_sync` asks whether anything was gathered on 7.3, not on 6.12; since when was not read. */
export const ASKS_FIRST = 619;
