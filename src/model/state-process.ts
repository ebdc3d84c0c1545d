import type { ProcessLimits } from './accounting-state.ts';

/** Control state of processes, their descriptors and mappings: see state.ts. */

/** A dma-buf: memory of a device, or of the selftest, behind a descriptor. */
export interface Dmabuf {
  /** The address space that stands for its memory, as for a memory file. */
  readonly mm: number;
  readonly bytes: number;
  /** No new mapping is allowed. */
  revoked: boolean;
}

/**
 * A mapping that holds an open file: a window of a vIOMMU, or memory of a device. Pages of 4096 bytes of an
 * address space, both inclusive.
 */
export interface WindowMapping {
  readonly mm: number;
  readonly firstPage: number;
  readonly lastPage: number;
  readonly context: number;
  /** 0 for memory of a device. */
  readonly viommu: number;
  readonly file: number;
}

export interface Process {
  readonly pid: number;
  /** Address space in UserMemory. */
  readonly mm: number;
  /** Open files by descriptor number. */
  readonly descriptors: Record<number, number>;
  /** What it may lock in memory; absent while no record has told anything of it. */
  limits?: ProcessLimits;
}

export type FileKind =
  | 'iommufd'
  | 'access'
  | 'fault'
  | 'veventq'
  | 'dmabuf'
  | 'container'
  | 'group'
  | 'device'
  | 'other';

/** An open file (`struct file`) that descriptors point to. */
export interface OpenFile {
  readonly id: number;
  readonly kind: FileKind;
  /** A device's descriptor that was made through its group, which then is its container's. */
  readonly viaGroup: boolean;
  /** Context it belongs to; 0 for one that belongs to none. */
  readonly context: number;
  /**
   * Object behind an access, fault or event descriptor; index of a device in the machine; id of a group; key
   * of a type1 container; 0 otherwise.
   */
  readonly object: number;
  /** Descriptors that point to it, over all processes. */
  descriptors: number;
}
