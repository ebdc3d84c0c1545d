import type { Invalidation } from '../iotlb/invalidation.ts';
import type { CallTime, ExpectedLog } from './expected.ts';
import type { VtdEvent } from './parse.ts';

/** How the clock of a log and that of a trace stand to each other. */

export interface ClockOffset {
  /** Seconds to add to the trace's time. */
  readonly seconds: number;
  /** Given by the user, or found from entries of devices that changed. */
  readonly from: 'given' | 'found';
}

/** Two clocks of one machine, and a tracer between them. */
const TOLERANCE = 0.1;

/**
 * The offset at which most changes of devices' entries that the trace predicts are in the log; null where
 * one of the two has no times, or the log has no such change.
 */
export function findOffset(
  { invalidations, times }: ExpectedLog,
  events: readonly VtdEvent[],
  sidOf: (device: number) => number | null,
): ClockOffset | null {
  const contexts = events.flatMap((event) =>
    event.event === 'context' && event.seconds !== null ? [{ sid: event.sid, at: event.seconds }] : [],
  );
  const byDevice = invalidations.filter(isEntryChange).flatMap((change) => {
    const time = times.get(change.seq);
    const sid = change.device === null ? null : sidOf(change.device);
    return time === undefined || sid === null ? [] : [{ sid, time }];
  });
  if (byDevice.length > 0) return bestOffset(byDevice, contexts);
  // In scalable mode a log may say nothing of devices, but each change flushes a domain.
  const flushes = events.flatMap((event) =>
    event.event === 'iotlb-domain' && event.seconds !== null ? [{ sid: ANY, at: event.seconds }] : [],
  );
  const ofDomains = invalidations.flatMap(({ cache, cause, granularity, seq }) => {
    const time = times.get(seq);
    const isFlush = cache === 'iotlb' && cause === 'entry' && granularity === 'domain';
    return time === undefined || !isFlush ? [] : [{ sid: ANY, time }];
  });
  return bestOffset(ofDomains, flushes);
}

/** In place of a requester id. */
const ANY = -1;

function bestOffset(
  changes: readonly { readonly sid: number; readonly time: CallTime }[],
  logged: readonly LoggedChange[],
): ClockOffset | null {
  const [first] = changes;
  if (first === undefined) return null;
  let best: ClockOffset | null = null;
  let most = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const { sid, at } of logged) {
    if (sid !== first.sid) continue;
    const seconds = at - first.time.end;
    let found = 0;
    let distance = 0;
    for (const change of changes) {
      const gap = gapOf(change.sid, change.time, seconds, logged);
      if (gap <= TOLERANCE) found += 1;
      distance += gap;
    }
    if (found < most || (found === most && distance >= least)) continue;
    [most, least] = [found, distance];
    best = { seconds, from: 'found' };
  }
  return best;
}

interface LoggedChange {
  readonly sid: number;
  readonly at: number;
}

/** Seconds between a call and the nearest change of the device's entry in the log; 0 when it is within. */
function gapOf(sid: number, time: CallTime, offset: number, logged: readonly LoggedChange[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const each of logged) {
    if (each.sid !== sid) continue;
    const at = each.at - offset;
    least = Math.min(least, Math.max(time.start - at, at - time.end, 0));
  }
  return least;
}

function isEntryChange({ cache, cause }: Invalidation): boolean {
  return cache === 'context' && cause === 'entry';
}

/** First event that belongs to the trace: those before are of the boot, or of another run. */
export function firstEvent(
  { times }: ExpectedLog,
  events: readonly VtdEvent[],
  offset: ClockOffset | null,
): number {
  if (offset === null) return 0;
  let start = Number.POSITIVE_INFINITY;
  for (const time of times.values()) start = Math.min(start, time.start);
  const from = start + offset.seconds - TOLERANCE;
  const found = events.findIndex(({ seconds }) => seconds !== null && seconds >= from);
  return found < 0 ? events.length : found;
}
