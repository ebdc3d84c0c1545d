import type { GuestMemory } from './guest-memory.ts';
import type { PageTable } from './page-table.ts';
import type { SmmuFeatures } from './smmu-features.ts';

/**
 * What an IOMMU holds at a point of a trace: the table of each domain, and what each device's entry names.
 */

/** A page of a process, or of a memory file (`pid` null, and its page). */
export interface UserPage {
  readonly pid: number | null;
  readonly page: number;
  /** Pages from here on that follow each other in the same area. */
  readonly count: number;
}

/** One page table that a driver made for a user's paging HWPT. */
export interface HardwareDomain {
  /** `PagingDomain.key`: names the domain for as long as the kernel runs. */
  readonly key: number;
  readonly context: number;
  readonly hwpt: number;
  readonly ioas: number;
  /** Name of the IOMMU in the topology it was made for. */
  readonly iommu: string;
  /** `vtd`, `amd`, `riscv`, `smmuv3`. */
  readonly driver: string;
  readonly nestParent: boolean;
  readonly tracking: boolean;
  /** Null when the format of the table is unknown. */
  readonly table: PageTable | null;
  /**
   * What the trace recorded of the memory that the domain maps: that of a guest, where it is a nest parent.
   */
  readonly memory: GuestMemory;
  /** What user memory a page shows; null where nothing is mapped. */
  userPage(page: number): UserPage | null;
}

/** What one slot (RID, or RID and PASID) of a device translates by. */
export type SlotState =
  /** DMA is blocked: the device belongs to VFIO, and nothing is attached. */
  | { readonly kind: 'blocked' }
  /** VFIO does not hold the device: a domain of the kernel's own, identity or DMA, which no trace tells. */
  | { readonly kind: 'kernel' }
  | { readonly kind: 'paging'; readonly domain: number }
  /** Guest's table (driver data as given to HWPT_ALLOC) on top of a paging domain. */
  | { readonly kind: 'nested'; readonly domain: number; readonly hwpt: number; readonly data: Uint8Array };

export interface DeviceSlot {
  /** Index in the machine's devices. */
  readonly device: number;
  readonly bdf: string;
  readonly path: string;
  readonly iommu: string;
  /** 0 is the RID. */
  readonly pasid: number;
  readonly state: SlotState;
  /**
   * Whether the driver wrote an entry at all. A PASID that is attached to a device without PASIDs is booked
   * by iommufd and written nowhere; null where the trace does not tell whether the device has any.
   */
  readonly written: boolean | null;
}

export interface HardwareIommu {
  /** As the topology names it. */
  readonly name: string;
  readonly driver: string;
  /** A VT-d unit in scalable mode; null when nothing tells. */
  readonly scalable: boolean | null;
  /** It walks tables coherently (ECAP.SMPWC of a VT-d unit in scalable mode); null when nothing tells. */
  readonly coherent: boolean | null;
  /** What the registers of an SMMUv3 say; null for others, and when they were not recorded. */
  readonly smmu: SmmuFeatures | null;
  /** Bits of a physical address that an SMMUv3 puts out. */
  readonly outputBits: number;
}

/** Everything at a point. */
export interface HardwareView {
  /** Last call that was applied. */
  readonly seq: number;
  readonly iommus: readonly HardwareIommu[];
  /** By `key`, ascending. */
  readonly domains: readonly HardwareDomain[];
  /** By device, then PASID. */
  readonly slots: readonly DeviceSlot[];
}
