import type { Refusal } from '../reason.ts';
import { cancelCapacity, reserveCapacity } from './capacity.ts';
import { CAPACITY_SHORT, isRefused } from './reasons.ts';
import type { IoasidCore } from './state.ts';

/**
 * The cgroup controller `ioasids`: how many numbers the processes of a group may have. The root group has no
 * limit and no files; a new group may have none. Source: IOASID series V4, 15/18 to 17/18.
 */

/** The root group: never refuses, counts nothing. */
export const ROOT_CGROUP = '';

/** Makes a group below another. */
export function createCgroup(core: IoasidCore, name: string, parent = ROOT_CGROUP): void {
  core.cgroups[name] ??= { parent, max: 0, current: 0 };
}

/** Writes the file `max`: reserves what the limit grows by, and gives back what it shrinks by. */
export function setCgroupMax(core: IoasidCore, name: string, max: number): Refusal {
  const group = core.cgroups[name]!;
  const more = max - group.max;
  const answer =
    more > 0 ? reserveCapacity(core, more) : more < 0 ? cancelCapacity(core, -more) : core.available;
  if (isRefused(answer)) return CAPACITY_SHORT;
  group.max = max;
  return null;
}

/** Charges one number to a process's group and all above it, or to none of them. */
export function charge(core: IoasidCore, mm: number): string | null {
  const start = core.cgroupOf[mm] ?? ROOT_CGROUP;
  for (const name of upwards(core, start)) {
    const { current, max } = core.cgroups[name]!;
    if (current >= max) return null;
  }
  for (const name of upwards(core, start)) core.cgroups[name]!.current += 1;
  return start;
}

export function uncharge(core: IoasidCore, from: string): void {
  for (const name of upwards(core, from)) core.cgroups[name]!.current -= 1;
}

/**
 * A process moves to another group, with its charges and without a check: `current` may exceed `max` then,
 * and nothing more is allocated until it falls below.
 */
export function moveProcess(core: IoasidCore, mm: number, to: string): void {
  core.cgroupOf[mm] = to;
  for (const { ids } of Object.values(core.spaces)) {
    for (const ioasid of Object.values(ids)) {
      const { token, type } = core.sets[ioasid.set]!;
      if (type !== 'mm' || token !== mm) continue;
      uncharge(core, ioasid.charged);
      for (const name of upwards(core, to)) core.cgroups[name]!.current += 1;
      ioasid.charged = to;
    }
  }
}

/** A group and those above it, the root left out. */
function* upwards(core: IoasidCore, from: string): Generator<string> {
  for (let name = from; name !== ROOT_CGROUP; name = core.cgroups[name]!.parent) yield name;
}
