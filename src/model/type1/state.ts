import type { IovaRange } from '../iova-space.ts';

/**
 * State of /dev/vfio/vfio as vfio.ko and vfio_iommu_type1 keep it. Plain JSON without shared references: it
 * is control state. The mappings (`struct vfio_dma`) are hot and live in the IovaSpace `Type1Iommu.space`.
 */

/** `struct vfio_container`: one open of /dev/vfio/vfio. */
export interface Type1Container {
  /** Names the container in effects, where a context of iommufd has its id. */
  readonly key: number;
  /** Groups set to it, newest first: `group_list`. */
  groups: Type1Group[];
  /** What SET_IOMMU made; null before, and again once the last group is gone. */
  iommu: Type1Iommu | null;
}

/** What the answers depend on of an iommu_group that is set to a container. */
export interface Type1Group {
  /** Number of the iommu_group. */
  readonly id: number;
  /** Geometry of the domains that its IOMMU makes, inclusive. */
  readonly aperture: IovaRange;
  /** `pgsize_bitmap` of these domains, as a double. */
  readonly pageSizes: number;
  /** The domains can block no-snoop traffic: `enforce_cache_coherency` succeeds. */
  readonly enforceCacheCoherency: boolean;
  /** Reserved regions of its devices, inclusive. */
  readonly reserved: readonly ReservedRegion[];
  /**
   * Groups of one kind share a domain: same driver, address width and table format (and, with SMMUv3, the
   * same IOMMU).
   */
  readonly domainKind: string;
  /** `iommu_group_has_isolated_msi`, or vfio_iommu_type1 was loaded with allow_unsafe_interrupts. */
  readonly isolatedMsi: boolean;
  /** Its IOMMU's driver has `enable_nesting`: the Arm ones before Linux 6.13. */
  readonly canNest: boolean;
}

export interface ReservedRegion extends IovaRange {
  /** `iommu_group_resv_type_string`. */
  readonly kind: 'direct' | 'direct-relaxable' | 'reserved' | 'msi';
}

/** `struct vfio_iommu`. */
export interface Type1Iommu {
  /** TYPE1v2: an unmap may not bisect a mapping. */
  readonly v2: boolean;
  /** TYPE1_NESTING. */
  readonly nesting: boolean;
  /** Key of its IovaSpace. */
  readonly space: number;
  /** Newest first: `domain_list`. */
  domains: Type1Domain[];
  /** Usable IOVAs, ascending: `iova_list`. */
  iovas: IovaRange[];
  /** `pgsize_bitmap` as a double. */
  pageSizes: number;
  /** Lowest bit of `pageSizes`: what mappings are aligned to, in bytes. */
  pageBytes: number;
  /** Mappings that may still be made: `dma_avail`. */
  available: number;
  /** Mappings whose user address UNMAP_DMA has invalidated: `vaddr_invalid_count`. */
  invalidAddresses: number;
  /** `dirty_page_tracking`. */
  tracking: boolean;
  /** Bits behind the end of dirty bitmaps, by first page of the mapping; only where there are any. */
  readonly strayBits: Record<string, StrayBits>;
}

/** `struct vfio_domain`. */
export interface Type1Domain {
  readonly kind: string;
  readonly enforceCacheCoherency: boolean;
  readonly aperture: IovaRange;
  readonly pageSizes: number;
  /** Ids of attached groups. */
  groups: number[];
}

/** What lies in a dirty bitmap's buffer from the last bit of its mapping on; numbers in hexadecimal. */
export interface StrayBits {
  readonly set: string;
  /** Bits that no record tells. */
  readonly unknown: string;
}
