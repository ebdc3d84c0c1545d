/**
 * What happens to PASIDs in the generations of 2020 and 2021, which allocate them, keep them in sets and map
 * them for KVM. The merged API has no allocation: its effects `deviceAttached` and `deviceDetached` say all.
 */

/**
 * What can happen to a PASID, in any generation; the merged API knows some of it. `free-pending`: freed
 * while somebody uses it. `free`: the number is the allocator's again. `replace`: another address space is
 * live under it. `bind`: a page table of the user's, the guest's number, or a process. `use` to
 * `flush-device`: steps of the device's driver, `clear` the one that clears the PASID entry. `orphan`: the
 * process is gone that the set of the number was for.
 */
export type PasidChangeKind =
  | 'alloc'
  | 'free-pending'
  | 'free'
  | 'attach'
  | 'replace'
  | 'detach'
  | 'bind'
  | 'unbind'
  | 'use'
  | 'stop'
  | 'clear'
  | 'invalidate'
  | 'drain'
  | 'flush-device'
  | 'flush'
  | 'fault'
  | 'fault-read'
  | 'fault-answer'
  | 'kvm-map'
  | 'kvm-unmap'
  | 'orphan'
  | 'refuse';

/** A device that is concerned, and what the PASID means for it then. */
export interface PasidChangeTarget {
  /** Address of the function, or name of the mediated device. */
  readonly device: string;
  /** Number of the open of the device; 0 where the kernel's own drivers act. */
  readonly file: number;
  /** Address space; 0 in `ioasid-v4`, which has none. */
  readonly ioas: number;
}

export interface PasidChange {
  readonly what: PasidChangeKind;
  /** Space in which the number is unique: `system`, or `function <address>`. */
  readonly scope: string;
  /** Numbers that the space has; null when nothing says so. */
  readonly scopeQuota?: number | null;
  /** The number on the wire; 0 for a request that got none. */
  readonly pasid: number;
  /** What the guest calls it. */
  readonly vpasid?: number | null;
  /** Number of the open that holds it; 0 for the kernel itself. */
  readonly context: number;
  /** Set that it is counted in. */
  readonly set?: string | null;
  readonly setQuota?: number | null;
  /** Process that holds it, where that is not the caller. */
  readonly process?: number | null;
  readonly target?: PasidChangeTarget | null;
  /** Number of the open of the virtual machine. */
  readonly vm?: number | null;
  /** Id of the reason of a refusal, or the code of the answer to a fault. */
  readonly reason?: string | null;
  /** After this step no cache holds anything of the number, and no page request of it is under way. */
  readonly flushes?: boolean;
}
