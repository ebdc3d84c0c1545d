import {
  createIoasidCore,
  type GuestPasid,
  type HostPasid,
  type IoasId,
  type IoasidCore,
} from '../ioasid/index.ts';

/** State of the generations of 2020 and 2021: a plain tree, part of the control state. */
export interface ProposalState {
  readonly core: IoasidCore;
  /** Open files by descriptor, for each process. */
  readonly descriptors: Record<number, Record<number, number>>;
  readonly files: Record<number, ProposalFile>;
  nextFile: number;
  /** Groups that were bound, by number. */
  readonly groups: Record<number, GroupDma>;
  /** What each routing information leads to: see slotKey. */
  readonly slots: Record<string, Slot>;
  /** Page requests of which the last of their group is still to come, by device. */
  readonly partialFaults: Record<string, PageRequest[]>;
  /** Functions that were put into a queue of page requests (true), or taken out of it (false). */
  readonly queued: Record<string, boolean>;
  /** PASIDs on their way out, by `device/pasid`: state of the lifecycle `pasidTeardown`. */
  readonly teardowns: Record<string, number>;
  /** Hazards that the trace shows, oldest first. */
  findings: ProposalFinding[];
}

export interface ProposalFile {
  readonly id: number;
  readonly kind: 'iommu' | 'device' | 'kvm' | 'container' | 'group' | 'other';
  /** Descriptors that name it. */
  refs: number;
  /** Process that opened it. */
  readonly owner: number;
  /** Of kind `device`: its name. */
  readonly device: string;
  /** Of kind `device`: opened through a group of the old container. */
  readonly isLegacy: boolean;
  /** Of kind `device`: the descriptors that it is bound to. */
  bindings: Binding[];
  /** Of kind `iommu`. */
  readonly spaces: Record<number, Ioas>;
  /** PASID set of the descriptor; 0 until a PASID is needed. */
  set: number;
  registered: Registration[];
  /** Fault groups that were reported and not answered, oldest first. */
  faults: FaultGroup[];
  /** Of kind `kvm`: the CPU's PASID translation table, by the guest's number. */
  readonly translations: Record<number, Translation>;
  /** Of kind `group`: its number. Of kind `container`: the groups that are in it. */
  groups: number[];
  /** Of kind `container`: VFIO_TYPE1_NESTING_IOMMU was chosen. */
  nests: boolean;
  /** Of kind `kvm`: KVM_CAP_PASID_TRANSLATION is on. */
  translates: boolean;
}

export interface Binding {
  /** File of the descriptor. */
  readonly iommu: number;
  /** The user's label of the device, in hex; empty in May 2021, which has none. */
  readonly cookie: string;
}

/** DMA of one IOMMU group. */
export interface GroupDma {
  /** State of the lifecycle `proposalGroup`. */
  lifecycle: number;
  /** Security context: the file of the descriptor, or the process in July 2021. */
  owner: number;
  bound: number;
  attached: number;
}

/** One I/O address space of one descriptor. */
export interface Ioas {
  readonly id: IoasId;
  /** State of the lifecycle `proposalIoas`. */
  lifecycle: number;
  /** Null for a root. */
  readonly parent: IoasId | null;
  /** Who makes its translations. `open`: a child of May 2021 that neither maps nor has a table yet. */
  kind: 'kernel' | 'open' | 'user-table' | 'pasid-table';
  table: { readonly address: string; readonly format: string } | null;
  readonly enforcesSnoop: boolean;
  /** 0 when not stated. */
  readonly addressWidth: number;
  maps: Mapping[];
  /** Devices that are attached, by name. */
  readonly devices: Record<string, AttachedDevice>;
  /** Attachments of all of them. */
  attachmentCount: number;
}

/** What of one device is attached to an address space: see attachments.ts. */
export interface AttachedDevice {
  /** That of requests without a PASID; a mediated device has one of its own for them. */
  default: Attachment | null;
  /** By the guest's PASID. */
  readonly byPasid: Record<number, Attachment>;
  count: number;
}

export interface Attachment {
  readonly device: string;
  /** Key in `ProposalState.slots`. */
  readonly slot: string;
  /** The guest's PASID; null for the default address space. */
  readonly guest: GuestPasid | null;
  /** The PASID on the wire; null when requests carry none, or a table in guest memory says. */
  readonly host: HostPasid | null;
  /** Space of numbers that `host` was allocated in; empty when it was not. */
  readonly scope: string;
}

/** The address spaces behind one RID or RID and PASID: parents below, the live one last. */
export interface Slot {
  readonly iommu: number;
  readonly device: string;
  stack: IoasId[];
}

/** Addresses and lengths are whole pages of 4096 bytes. */
export interface Mapping {
  readonly iovaPage: number;
  readonly pages: number;
  /** Of user memory, or of the parent's address space. */
  readonly targetPage: number;
  /** VFIO_DMA_MAP_FLAG_READ and _WRITE. */
  readonly flags: number;
  /** Process that mapped it: another one can not unmap it. */
  readonly owner: number;
  /** Pages that its process is charged for; 0 where nothing is pinned for this mapping alone. */
  lockedPages: number;
}

export interface UserRange {
  readonly page: number;
  readonly pages: number;
}

/** Memory that was registered: it is pinned, and its process charged. */
export interface Registration extends UserRange {
  readonly owner: number;
}

export interface PageRequest {
  readonly pasid: number | null;
  readonly grpid: number;
  readonly address: string;
  readonly perm: number;
}

export interface FaultGroup {
  readonly ioas: IoasId;
  readonly device: string;
  readonly cookie: string;
  readonly guest: GuestPasid | null;
  readonly pasid: number | null;
  readonly grpid: number;
  readonly requests: readonly PageRequest[];
  /** The device wants its PASID in the answer: IOMMU_FAULT_PAGE_RESPONSE_NEEDS_PASID. */
  readonly needsPasid: boolean;
  wasRead: boolean;
}

export interface Translation {
  readonly iommu: number;
  readonly ioas: IoasId;
  readonly host: HostPasid;
  /** Space of numbers that `host` is unique in. */
  readonly scope: string;
}

export interface ProposalFinding {
  readonly id: string;
  readonly seq: number;
  readonly says: string;
}

export function createProposalState(): ProposalState {
  return {
    core: createIoasidCore(),
    descriptors: {},
    files: {},
    nextFile: 1,
    groups: {},
    slots: {},
    partialFaults: {},
    queued: {},
    teardowns: {},
    findings: [],
  };
}
