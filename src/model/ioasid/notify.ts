import type { Refusal } from '../reason.ts';
import { type CoreCall, IOASID_EVENT, type IoasidEvent } from './core-call.ts';
import { NOTIFIER_LATE, NOTIFIER_TWICE, SET_NOT_FOUND } from './reasons.ts';
import type { Ioasid, IoasidCore, Priority, Subscriber } from './state.ts';

/**
 * Notifier chains: one per set and a global one. The CPU is told first, so that no vCPU submits work any
 * more, then the IOMMU, then devices. Source: IOASID series V4, 09/18 and 10/18.
 */

const RANK: Readonly<Record<Priority, number>> = { cpu: 0, iommu: 1, device: 2 };

/** Events of which the global chain is told as well. */
const GLOBAL: ReadonlySet<IoasidEvent> = new Set(['FREE']);

/**
 * Tells one change of a number, once to each subscriber. Where a change goes to both chains they are walked
 * as one, by priority: docs/proposal-choices.md, "Two chains".
 */
export function notify({ core, tell }: CoreCall, event: IoasidEvent, ioasid: Ioasid): void {
  const heard = core.subscribers.filter(({ set }) => set === ioasid.set || (set === 0 && GLOBAL.has(event)));
  for (const { name, priority } of heard.sort((a, b) => RANK[a.priority] - RANK[b.priority])) {
    const { id, scope, spid, set } = ioasid;
    tell({ event, subscriber: name, priority, id, scope, spid, set });
  }
}

/** Numbers of the events, as handlers get them. */
export const eventNumber = (event: IoasidEvent): number => IOASID_EVENT[event];

/** `ioasid_register_notifier`: on the chain of a set, or on the global one for set 0. */
export function registerNotifier(core: IoasidCore, subscriber: Subscriber): Refusal {
  if (subscriber.set !== 0 && core.sets[subscriber.set] === undefined) return SET_NOT_FOUND;
  if (core.subscribers.some(({ name, set }) => name === subscriber.name && set === subscriber.set))
    return NOTIFIER_TWICE;
  core.subscribers.push(subscriber);
  return null;
}

/** `ioasid_register_notifier_mm`: waits for the set of the process where it has none yet. */
export function registerNotifierMm(core: IoasidCore, mm: number, name: string, priority: Priority): Refusal {
  const set = findMmSet(core, mm);
  if (set === null) {
    if (core.waiting.some((waiting) => waiting.name === name && waiting.mm === mm)) return NOTIFIER_TWICE;
    core.waiting.push({ name, priority, mm });
    return null;
  }
  if (core.sets[set]!.count > 0) return NOTIFIER_LATE;
  return registerNotifier(core, { name, priority, set });
}

/** `ioasid_unregister_notifier`. */
export function unregisterNotifier(core: IoasidCore, name: string, set: number): void {
  core.subscribers = core.subscribers.filter((other) => other.name !== name || other.set !== set);
}

/** The set of a process; null when it has none. */
export function findMmSet(core: IoasidCore, mm: number): number | null {
  const found = Object.values(core.sets).find(({ type, token }) => type === 'mm' && token === mm);
  return found?.id ?? null;
}

/** Hooks the blocks that waited for the set of a process. */
export function hookWaiting(core: IoasidCore, mm: number, set: number): void {
  for (const { name, priority } of core.waiting.filter((waiting) => waiting.mm === mm))
    core.subscribers.push({ name, priority, set });
  core.waiting = core.waiting.filter((waiting) => waiting.mm !== mm);
}

/** A set is gone, and its chain with it. */
export function dropChain(core: IoasidCore, set: number): void {
  core.subscribers = core.subscribers.filter((subscriber) => subscriber.set !== set);
}
