import type { Reason, Refusal } from '../reason.ts';
import { RESERVED_PASID } from './names.ts';
import { ALLOCATOR_BUSY, ALLOCATOR_TWICE, ALLOCATOR_UNKNOWN, isRefused, NONE_FREE } from './reasons.ts';
import { type Allocator, type IoasidCore, SYSTEM, spaceFor } from './state.ts';
import { type VcmdUnit, vcmdAlloc, vcmdFree } from './vcmd.ts';

/**
 * Where numbers come from: the default allocator takes the lowest that is free, a registered one is asked
 * instead. Only the scope of the system has other allocators. Source: drivers/iommu/ioasid.c before V4.
 */

/** Space of the default allocator. */
export const DEFAULT_ALLOCATOR = 'default';

/** The allocator that serves a scope; null for the default one. */
function activeAllocator(core: IoasidCore, scope: string): Allocator | null {
  return scope === SYSTEM ? (core.allocators[0] ?? null) : null;
}

/** A number that was taken, and the allocator that it goes back to. */
export interface TakenNumber {
  readonly id: number;
  readonly allocator: string;
}

/** Takes a free number of [min, max] in a scope, both inclusive. 0 is never given. */
export function takeNumber(core: IoasidCore, scope: string, min: number, max: number): TakenNumber | Reason {
  const active = activeAllocator(core, scope);
  if (active?.kind === 'vcmd') {
    const unit = unitOf(core, active);
    const id = vcmdAlloc(unit, min, max);
    if (isRefused(id)) return id;
    if (core.spaces[scope]?.ids[id] === undefined) return { id, allocator: active.functions };
    // Another allocator gave this number, and it is still out.
    vcmdFree(unit, id);
    return NONE_FREE;
  }
  const last = Math.min(max, active?.max ?? core.capacity - 1);
  const first = Math.max(min, active?.min ?? 0, RESERVED_PASID + 1);
  const space = spaceFor(core, scope);
  let id = Math.max(first, space.freeHint);
  while (space.ids[id] !== undefined) id += 1;
  if (id > last) return NONE_FREE;
  if (first <= space.freeHint) space.freeHint = id + 1;
  return { id, allocator: active?.functions ?? DEFAULT_ALLOCATOR };
}

/** Gives a number back to the allocator that it came from. */
export function giveBack(core: IoasidCore, scope: string, { id, allocator }: TakenNumber): void {
  const space = spaceFor(core, scope);
  if (id < space.freeHint) space.freeHint = id;
  const owner = core.allocators.find(({ functions }) => functions === allocator);
  if (owner?.kind === 'vcmd') vcmdFree(unitOf(core, owner), id);
}

/** `ioasid_register_allocator`. The first one registered serves, the others wait in order. */
export function registerAllocator(core: IoasidCore, allocator: Allocator): Refusal {
  if (core.allocators.some(({ name }) => name === allocator.name)) return ALLOCATOR_TWICE;
  if (core.allocators.length === 0 && isOutstanding(core, DEFAULT_ALLOCATOR)) return ALLOCATOR_BUSY;
  core.allocators.push(allocator);
  return null;
}

/**
 * `ioasid_unregister_allocator`. The next in order serves then, or the default one; only one with the same
 * functions knows the numbers that are out, which the kernel warns of: the answer says so.
 */
export function unregisterAllocator(core: IoasidCore, name: string): { warns: boolean } | Reason {
  const gone = core.allocators.find((allocator) => allocator.name === name);
  if (gone === undefined) return ALLOCATOR_UNKNOWN;
  const wasActive = core.allocators[0] === gone;
  core.allocators = core.allocators.filter((allocator) => allocator !== gone);
  const isSame = core.allocators[0]?.functions === gone.functions;
  return { warns: wasActive && !isSame && isOutstanding(core, gone.functions) };
}

/** Allocators with the same functions ask one hypervisor. */
function unitOf(core: IoasidCore, { functions, min, max }: Allocator): VcmdUnit {
  core.hypervisors[functions] ??= [];
  return { min, max, given: core.hypervisors[functions] };
}

/** Whether numbers that an allocator gave are still out. */
function isOutstanding(core: IoasidCore, functions: string): boolean {
  const ids = core.spaces[SYSTEM]?.ids ?? {};
  return Object.values(ids).some(({ allocator }) => allocator === functions);
}
