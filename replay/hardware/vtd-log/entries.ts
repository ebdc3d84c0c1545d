import type { Invalidation } from '../iotlb/invalidation.ts';
import type { LoggedContext, LoggedFlush, VtdEvent } from './parse.ts';

/**
 * Entries of devices that changed, in legacy mode: each is told in the log by a context invalidation and the
 * flush of a whole domain, which is how the symbolic tags of the trace get the domain ids of the machine.
 */

/** One entry that changes: what the trace predicts of it. */
export interface EntryChange {
  readonly context: Invalidation;
  readonly flush: Invalidation;
  readonly device: number;
}

export interface BoundChange extends EntryChange {
  /** Null where the log has none. */
  readonly logged: LoggedContext | null;
  /** Domain id that the tag stands for; null where the log tells none. */
  readonly did: number | null;
  /** Place of the flush in the log. */
  readonly flushAt: number;
}

export interface Bindings {
  readonly changes: readonly BoundChange[];
  /** Contexts that no change explains. */
  readonly extra: readonly LoggedContext[];
}

/** Pairs of a context invalidation and the flush after it, in order. */
export function entryChanges(expected: readonly Invalidation[]): EntryChange[] {
  const changes: EntryChange[] = [];
  expected.forEach((context, at) => {
    const flush = expected[at + 1];
    if (context.cache !== 'context' || context.device === null || flush?.cache !== 'iotlb') return;
    changes.push({ context, flush, device: context.device });
  });
  return changes;
}

/** Matches the changes of each device with its contexts in the log, in order. */
export function bindContexts(
  expected: readonly Invalidation[],
  events: readonly VtdEvent[],
  sidOf: (device: number) => number | null,
): Bindings {
  const contexts = new Map<number, LoggedContext[]>();
  for (const event of events) {
    if (event.event !== 'context') continue;
    const own = contexts.get(event.sid) ?? [];
    own.push(event);
    contexts.set(event.sid, own);
  }
  const used = new Map<number, number>();
  const changes = entryChanges(expected).map((change) => {
    const sid = sidOf(change.device);
    const place = sid === null ? 0 : (used.get(sid) ?? 0);
    const logged = (sid === null ? undefined : contexts.get(sid)?.[place]) ?? null;
    if (sid !== null) used.set(sid, place + 1);
    const flush = logged === null ? null : flushAfter(events, logged);
    return { ...change, logged, did: flush?.did ?? null, flushAt: flush?.at ?? -1 };
  });
  const extra = [...contexts].flatMap(([sid, own]) => (used.has(sid) ? own.slice(used.get(sid)) : []));
  return { changes, extra };
}

/** The flush that the driver queues behind a context invalidation. */
export function flushAfter(events: readonly VtdEvent[], { at, did }: LoggedContext): LoggedFlush | null {
  const base = events[0]?.at ?? 0;
  for (let next = at - base + 1; next < events.length && next < at - base + 16; next += 1) {
    const event = events[next]!;
    if (event.event === 'context') return null;
    if (event.event === 'iotlb-domain' && (did === null || did === 0 || event.did === did)) return event;
  }
  return null;
}
