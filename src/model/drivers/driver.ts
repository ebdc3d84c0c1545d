import type { Kernel } from '../kernel.ts';
import type { HwInfo } from '../machine.ts';
import type { Refusal } from '../reason.ts';
import type { Hwpt } from '../slots.ts';
import type { Context, Device, HwptNested, HwptPaging, PagingDomain, Viommu } from '../state.ts';

/** What iommufd asks of an IOMMU driver: `struct iommu_ops`, `iommu_domain_ops`, `iommufd_viommu_ops`. */
export interface IommuDriver {
  /** `max_pasids` of the device: 0 when it has none. */
  pasidLimit(kernel: Kernel, device: Device): number;
  /** IOMMU_CAP_DIRTY_TRACKING. */
  isDirtyCapable(kernel: Kernel, device: Device): boolean;
  /** IOMMU_CAP_ENFORCE_CACHE_COHERENCY. */
  enforcesCoherency(kernel: Kernel, device: Pick<Device, 'physical'>): boolean;
  /** IOMMU_CAP_PCI_ATS_SUPPORTED. */
  supportsAts(kernel: Kernel, device: Device): boolean;
  /** It has `domain_alloc_paging_flags`; without it, page tables take neither flags nor user data. */
  readonly takesFlags: boolean;
  /** `domain_alloc_paging_flags`; `flags` without FAULT_ID_VALID. */
  refusePaging(kernel: Kernel, device: Device, flags: number, data: UserData): Refusal;
  /** The domain that `refusePaging` has let pass. */
  makePaging(kernel: Kernel, device: Device, flags: number, data: UserData): PagingDomain;
  /** It has `domain_alloc_nested`: nested page tables on a paging HWPT, without a vIOMMU. */
  readonly nestsOnParent: boolean;
  /** It has `alloc_domain_nested` of its vIOMMUs. */
  readonly nestsOnViommu: boolean;
  /** Either of them: the contents, or why not. */
  makeNested(
    kernel: Kernel,
    device: Device,
    parent: HwptPaging,
    viommu: Viommu | null,
    flags: number,
    data: UserData,
  ): NestedContents | Refused;
  /** `attach_dev` and `set_dev_pasid` of the device's driver, and what the core checks before the latter. */
  refuseAttach(kernel: Kernel, context: Context, device: Device, pasid: number, hwpt: Hwpt): Refusal;
  /** `hw_info`; `asked` is 0 for the driver's own type. */
  hwInfo(kernel: Kernel, device: Device, asked: number): HwInfo | Refused;
  /** `get_viommu_size` and `viommu_init`, both before anything is made. */
  refuseViommu(kernel: Kernel, device: Device, type: number): Refusal;
  /** `cache_invalidate_user` of a nested page table; null when the driver has no such thing. */
  readonly invalidateNested: InvalidateNested | null;
  /** `cache_invalidate` of a vIOMMU; null when the driver has no such thing. */
  readonly invalidateViommu: InvalidateViommu | null;
}

/** Driver data of a call: nothing when `length` is 0. */
export interface UserData {
  readonly type: number;
  readonly length: number;
  readonly page: number;
  readonly offset: number;
}

export const NO_DATA: UserData = { type: 0, length: 0, page: 0, offset: 0 };

/** What a driver keeps of a nested page table. */
export interface NestedContents {
  readonly iotlb: number[];
  readonly data: string;
}

export interface Refused {
  readonly refusal: NonNullable<Refusal>;
}

/** Does the entries of a call one by one, and answers how many were done before the refusal. */
export type InvalidateNested = (kernel: Kernel, hwpt: HwptNested, entries: EntryArray) => Invalidated;

export type InvalidateViommu = (
  kernel: Kernel,
  context: Context,
  viommu: Viommu,
  entries: EntryArray,
) => Invalidated;

/** `struct iommu_user_data_array`. */
export interface EntryArray {
  readonly type: number;
  readonly page: number;
  readonly offset: number;
  readonly entryBytes: number;
  readonly count: number;
}

export interface Invalidated {
  readonly done: number;
  readonly refusal: Refusal;
}
