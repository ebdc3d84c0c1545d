import type { GuestPasid, HostPasid } from './names.ts';
import { PASID_COUNT } from './names.ts';

/**
 * State of the PASID allocation core: a plain tree, part of the control state. Source: series "IOASID
 * extensions for guest SVA", V4 of 2021-02-27 (drivers/iommu/ioasid.c there).
 */
export interface IoasidCore {
  /** Numbers of the system: 0 to capacity - 1. */
  capacity: number;
  /** `ioasid_install_capacity` was called: it may be only once. */
  isInstalled: boolean;
  /** Of the capacity, what no set and no cgroup has reserved. */
  available: number;
  readonly sets: Record<number, IoasidSet>;
  nextSet: number;
  /** Numbers that are taken or were, by scope: see scope.ts. */
  readonly spaces: Record<string, NumberSpace>;
  /** Custom allocators in the order of registration; the first serves. */
  allocators: Allocator[];
  /** Numbers that hypervisors have given out, by the functions that asked for them. */
  readonly hypervisors: Record<string, number[]>;
  /** Notifier blocks in the order of registration. */
  subscribers: Subscriber[];
  /** Blocks for an mm that has no set yet. */
  waiting: WaitingSubscriber[];
  readonly cgroups: Record<string, Cgroup>;
  /** Group of each address space; the root group has no limit. */
  readonly cgroupOf: Record<number, string>;
  /** `ioasid_queue_work`: the one ordered queue of what FREE handlers put off. */
  work: FreeWork[];
  /** PASIDs bound to a process, by its mm: `mm->pasid`. */
  readonly bound: Record<number, BoundPasid>;
}

export type SetType = 'null' | 'mm';

export interface IoasidSet {
  readonly id: number;
  /** State of the lifecycle `ioasidSet`. */
  lifecycle: number;
  readonly type: SetType;
  /** The mm of a set of type `mm`; 0 otherwise. */
  readonly token: number;
  readonly quota: number;
  /** Numbers allocated and not reclaimed. */
  count: number;
}

/** One number space: each number has one holder at most. */
export interface NumberSpace {
  /** Allocated numbers, FREE_PENDING included. */
  readonly ids: Record<number, Ioasid>;
  /** Free numbers of which some cache may still hold something, by the set of their last holder. */
  readonly stale: Record<number, number>;
  /** No number below is free; a hint that reclaiming lowers. */
  freeHint: number;
}

/** `struct ioasid_data`. */
export interface Ioasid {
  readonly id: HostPasid;
  readonly scope: string;
  readonly set: number;
  /** State of the lifecycle `pasid`: IDLE, ACTIVE or FREE_PENDING. */
  lifecycle: number;
  /** 1 of the owner, until it frees, and one of each user. */
  refs: number;
  /** Guest's number in the set; null when none. */
  spid: GuestPasid | null;
  /** The caller's own record of who has it, which only names it here. */
  data: IoasidData | null;
  /** Was put to use and not flushed since. */
  isCached: boolean;
  /** Space of the allocator that gave it: only that one takes it back. */
  readonly allocator: string;
  /** Charged to this cgroup; empty when none. */
  charged: string;
  /** Process that it is bound to (`mm->pasid`); 0 when none. */
  boundTo: number;
}

/** Data that the caller owns: for VT-d what guest SVA has bound. */
export interface IoasidData {
  readonly owner: string;
  devices: string[];
}

/** One `struct ioasid_allocator_ops`. */
export interface Allocator {
  readonly name: string;
  /** Allocators with the same alloc and free functions share one space of numbers. */
  readonly functions: string;
  /** `vcmd`: asks the hypervisor through the virtual command register. */
  readonly kind: 'custom' | 'vcmd';
  /** Numbers that the allocator may give, inclusive. */
  readonly min: number;
  readonly max: number;
}

export type Priority = 'cpu' | 'iommu' | 'device';

export interface Subscriber {
  readonly name: string;
  readonly priority: Priority;
  /** Set whose chain it is on; 0 for the global one. */
  readonly set: number;
}

export interface WaitingSubscriber {
  readonly name: string;
  readonly priority: Priority;
  readonly mm: number;
}

/** Limit on the numbers of the processes of a group. */
export interface Cgroup {
  readonly parent: string;
  max: number;
  current: number;
}

export interface FreeWork {
  readonly id: HostPasid;
  readonly scope: string;
}

export interface BoundPasid {
  readonly pasid: HostPasid;
  refs: number;
}

/** Scope of the V4 core: one space for the system. */
export const SYSTEM = 'system';

export function createIoasidCore(): IoasidCore {
  return {
    capacity: PASID_COUNT,
    isInstalled: false,
    available: PASID_COUNT,
    sets: {},
    nextSet: 1,
    spaces: {},
    allocators: [],
    hypervisors: {},
    subscribers: [],
    waiting: [],
    cgroups: {},
    cgroupOf: {},
    work: [],
    bound: {},
  };
}

/** The number space of a scope, made at its first use. */
export function spaceFor(core: IoasidCore, scope: string): NumberSpace {
  core.spaces[scope] ??= { ids: {}, stale: {}, freeHint: 1 };
  return core.spaces[scope];
}

export function findIoasid(core: IoasidCore, id: number, scope: string): Ioasid | undefined {
  return core.spaces[scope]?.ids[id];
}
