import { createLockedMemory, type LockedMemory } from './accounting-state.ts';
import type { IovaRange, ReservedRange } from './iova-space.ts';
import type { DriverName } from './machine.ts';
import type { ObjectBase } from './object-base.ts';
import type { ProposalState } from './proposal/state.ts';
import type { Dmabuf, OpenFile, Process, WindowMapping } from './state-process.ts';
import { createVfioState, type VfioState } from './state-vfio.ts';
import type { HwQueue, Vdevice, Veventq, Viommu } from './state-viommu.ts';

export type { Dmabuf, FileKind, OpenFile, Process, WindowMapping } from './state-process.ts';
export type { VfioDevice, VfioGroup, VfioState } from './state-vfio.ts';
export type { HwQueue, Vdevice, Vevent, Veventq, Viommu } from './state-viommu.ts';

/**
 * The control state: everything a person looks at and that changes rarely. A plain tree without shared
 * references (objects name each other by id), so that one call's handlers can run on it in place or on an
 * Immer draft of it, and the patches of the draft say what the call changed. Areas, pages and memory contents
 * are hot and live outside.
 */
export interface ControlState {
  readonly contexts: Record<number, Context>;
  readonly files: Record<number, OpenFile>;
  readonly processes: Record<number, Process>;
  /** The selftest's dma-bufs by open file. */
  readonly dmabufs: Record<number, Dmabuf>;
  /** Windows of vIOMMUs, and device memory, that processes have mapped. */
  windows: WindowMapping[];
  /** What VFIO knows of groups and devices. */
  readonly vfio: VfioState;
  /**
   * Facts that the topology left open and a reply told, by the name of
   * the IOMMU or the address of the device.
   */
  readonly learned: Record<string, LearnedFacts>;
  /** Pages that users and processes have been charged for. */
  readonly locked: LockedMemory;
  nextContext: number;
  nextFile: number;
  nextSpace: number;
  nextDomain: number;
  /**
   * Id of the next mock device's group: every mock device is alone in its own. Above all groups of the
   * machine.
   */
  nextGroup: number;
  /** Of the generations of 2020 and 2021; absent in traces of other kernels. */
  proposal?: ProposalState;
}

/** What a replay learned of one IOMMU or device. */
export interface LearnedFacts {
  aperture?: IovaRange;
  /** `max_pasids` of a device. */
  pasids?: number;
  /** Bytes of GET_HW_INFO in hex. */
  hwInfo?: string;
  /** What it can do, by name. */
  readonly can: Record<string, boolean>;
}

/** `struct iommufd_ctx`: one open of /dev/iommu. */
export interface Context {
  readonly id: number;
  /** State of the context lifecycle. */
  lifecycle: number;
  /** `user`: locked_vm of the user; `mm`: of the address space, as VFIO counts. */
  accountMode: 'user' | 'mm';
  /** IOAS that the VFIO compatibility ioctls use; 0 when none. */
  vfioIoas: number;
  /** References to the struct file: open descriptors, event files, access objects, bound devices. */
  fileRefs: number;
  /** Live objects by id. */
  readonly objects: Record<number, KernelObject>;
  /** No id below this one is free. */
  freeHint: number;
  /** Ids of vDEVICEs that went with their device: taken until the context is released. */
  readonly tombstones: Record<number, true>;
  /** Id that a call in progress has taken for an object nobody can see yet; 0 when none. */
  constructing: number;
  /** `iommufd_group` by group id. */
  readonly groups: Record<number, Group>;
}

export interface Ioas extends ObjectBase {
  readonly type: 'ioas';
  /** Key of its IovaSpace. */
  readonly space: number;
  /** `iova_alignment` in bytes, a power of two up to the CPU page. */
  alignment: number;
  /** `disable_large_pages`. */
  largePagesOff: boolean;
  /** HWPTs whose domains are filled, in the order of `iopt->domains`; the first stores the pages. */
  domains: number[];
  /** HWPTs in creation order: `hwpt_list`. */
  hwpts: number[];
  /** Attached access objects by their id in `access_list`. */
  readonly accesses: Record<number, number>;
  allowed: IovaRange[];
  reserved: ReservedRange[];
}

/** What the driver made for a paging HWPT. */
export interface PagingDomain {
  readonly driver: DriverName;
  /** IOMMU that it was made for; empty for the mock one. */
  readonly iommu: string;
  /** Names the domain for as long as the kernel runs. */
  readonly key: number;
  /** `pgsize_bitmap` as a double. */
  readonly pageSizes: number;
  /** Inclusive aperture. */
  readonly aperture: IovaRange;
  /** The domain has dirty tracking ops. */
  readonly dirtyOps: boolean;
  /** A mapping must allow these: 0, or bits of PROT_READ and PROT_WRITE of which one is needed at least. */
  readonly needsProt: number;
  /** Format of the table where the driver has several: `vtd-fs`, `vtd-ss`, `smmu-s1` …; empty otherwise. */
  readonly format: string;
}

export interface HwptPaging extends ObjectBase {
  readonly type: 'hwpt-paging';
  readonly ioas: number;
  readonly auto: boolean;
  readonly nestParent: boolean;
  readonly enforceCacheCoherency: boolean;
  /** Allocated with IOMMU_HWPT_ALLOC_PASID. */
  readonly pasidCompatible: boolean;
  /** Fault queue it reports to; 0 when none. */
  fault: number;
  /** Dirty tracking is on. */
  tracking: boolean;
  readonly domain: PagingDomain;
}

export interface HwptNested extends ObjectBase {
  readonly type: 'hwpt-nested';
  /** Paging HWPT that translates what it yields. */
  readonly parent: number;
  /** vIOMMU it was allocated on, whose user it is then instead of the parent's; 0 when none. */
  readonly viommu: number;
  readonly pasidCompatible: boolean;
  fault: number;
  /** The mock driver's fake IOTLB; empty for other drivers. */
  readonly iotlb: number[];
  readonly driver: DriverName;
  /** Driver data of a real IOMMU, as given: struct bytes in hex; empty for the mock one. */
  readonly data: string;
}

export interface Device extends ObjectBase {
  readonly type: 'device';
  readonly driver: DriverName;
  /** Index in the machine's devices; -1 for a mock device. */
  readonly physical: number;
  /** MOCK_FLAGS_DEVICE_*. */
  readonly flags: number;
  readonly group: number;
  /** Its vDEVICE; 0 when none. */
  vdevice: number;
  readonly mock: MockDevice;
}

/** What the driver remembers of a device: the mock one all of it, a real one only of its vIOMMU. */
export interface MockDevice {
  /** Fake cache that invalidation through a vIOMMU clears. */
  readonly cache: number[];
  /** vIOMMU of the nested domain at its RID, and the virtual id it had there when that was attached. */
  viommu: number;
  virtPage: number;
  virtOffset: number;
  /** The next attachment of PASID 1024 fails: the selftest's way to test that the old one stays. */
  failsPasid: boolean;
}

/** `iommufd_group`: what an iommu_group is attached to in this context. */
export interface Group {
  readonly id: number;
  /** Held slots by PASID; 0 is the RID. */
  readonly slots: Record<number, Slot>;
  /** Bound devices. */
  bound: number;
  /** Counts attach handles, so that faults of an earlier attachment are told from those of this one. */
  handles: number;
}

/** `struct iommufd_attach`: one held attachment slot. */
export interface Slot {
  lifecycle: number;
  hwpt: number;
  /** Attached devices in order. */
  devices: number[];
  handle: number;
}

export interface Access extends ObjectBase {
  readonly type: 'access';
  /** Attached IOAS; 0 when none. */
  ioas: number;
  /** `needs_pin_pages`: pins pages and asks for page alignment. */
  readonly pinning: boolean;
  /** A HW queue's own: its pins are never given up, so that its areas can not be unmapped. */
  readonly internal: boolean;
  /** Id in the IOAS's `access_list`. */
  listId: number;
  /** Live pins, in creation order. */
  items: AccessItem[];
  nextItem: number;
}

/** One successful ACCESS_PAGES: `struct selftest_access_item`. */
export interface AccessItem {
  readonly id: number;
  readonly iovaPage: number;
  readonly iovaOffset: number;
  readonly length: number;
}

export interface FaultQueue extends ObjectBase {
  readonly type: 'fault';
  /** Groups not yet read, oldest first. */
  deliver: FaultGroup[];
  /** Groups read and not answered, by cookie. */
  readonly responses: Record<number, FaultGroup>;
  /** Lowest cookie there is: 1, or 0 once an answer to cookie 0 came while others were awaited. */
  firstCookie: number;
}

export interface FaultGroup {
  readonly device: number;
  /** Attach handle (`Slot.handle`) it was reported under, and its group. */
  readonly group: number;
  readonly handle: number;
  readonly faults: readonly PageFault[];
}

/** `struct iommu_fault_page_request` as the queue's reader gets it. */
export interface PageFault {
  readonly flags: number;
  readonly pasid: number;
  readonly grpid: number;
  readonly perm: number;
  readonly addrPage: number;
  readonly addrOffset: number;
}

/** IOMMU_TEST_OP_MOCK_DOMAIN's own object: owns a mock device and its binding. */
export interface Selftest extends ObjectBase {
  readonly type: 'selftest';
  readonly device: number;
}

export type KernelObject =
  | Ioas
  | HwptPaging
  | HwptNested
  | Device
  | Access
  | FaultQueue
  | Selftest
  | Viommu
  | Vdevice
  | Veventq
  | HwQueue;
export type ObjectType = KernelObject['type'];

/** `nextGroup`: see ControlState. */
export function createControlState(nextGroup = 1): ControlState {
  return {
    contexts: {},
    files: {},
    processes: {},
    dmabufs: {},
    windows: [],
    nextContext: 1,
    nextFile: 1,
    nextSpace: 1,
    nextDomain: 1,
    vfio: createVfioState(),
    learned: {},
    locked: createLockedMemory(),
    nextGroup,
  };
}
