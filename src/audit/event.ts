import type { PasidChangeKind } from '../model/index.ts';

/**
 * What can happen to a PASID, in any generation of the API. A generation turns its calls into these; the
 * history (history.ts) folds them without knowing who told.
 */

/** A set of PASIDs in which a number has one holder at most. */
export interface PasidSpace {
  /** `system` where the IOMMU shares one table, `function` where each device has its own. */
  readonly kind: 'system' | 'function' | 'set' | 'process';
  /** Address of the function, name of the set, number of the process; empty for the system. */
  readonly name: string;
  /** How many may be held at once; null when nothing says so. */
  readonly quota?: number | null;
}

/** The call that caused an event. */
export interface PasidCall {
  readonly seq: number;
  /** Calls up to and with this one; notes are none. */
  readonly nth: number;
  readonly pid: number;
  /** Descriptor that the call was made on; null when there is none. */
  readonly fd: number | null;
  /** Name of the ioctl or operation; `exit` when a process is taken to be gone. */
  readonly name: string;
}

/** What a PASID of a function is pointed to. Ids are 0 where the generation has no such object. */
export interface PasidTarget {
  /** Address of the function. */
  readonly function: string;
  readonly device: number;
  readonly hwpt: number;
  readonly ioas: number;
}

/** One thing that happened to one PASID. */
export interface PasidEvent {
  readonly what: PasidChangeKind;
  /** `iommufd` for the merged API. */
  readonly generation: string;
  readonly space: PasidSpace;
  /** Name of the set that the PASID is counted in, where there are sets apart from the space. */
  readonly set?: string | null;
  readonly setQuota?: number | null;
  /** Host PASID. */
  readonly pasid: number;
  readonly vpasid?: number | null;
  /** Number of the open that holds it. */
  readonly context: number;
  readonly call: PasidCall;
  /** Null where no function is concerned: allocations, frees, KVM mappings. */
  readonly target: PasidTarget | null;
  /** The number is the allocator's again: whatever it was attached to is gone with it. */
  readonly reclaims?: boolean;
  /** Process that holds it, where that is not the one that called. */
  readonly holder?: number | null;
  /** The kernel invalidates all caches of the PASID with this step, by rule. */
  readonly flushes?: boolean;
  /** Virtual machine of a KVM mapping. */
  readonly vm?: string | null;
  /** Id of the reason of a refusal, or code of the answer to a fault. */
  readonly reason?: string | null;
}
