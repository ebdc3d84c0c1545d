import { type Invalidation, isWhole } from '../iotlb/invalidation.ts';
import type { LoggedDeviceFlush, VtdEvent } from './parse.ts';
import type { Match } from './stream.ts';

/** What devices that translate by themselves were told to forget, device by device in order. */
export function matchDevices(
  expected: readonly Invalidation[],
  events: readonly VtdEvent[],
  sidOf: (device: number) => number | null,
  isPart: boolean,
): Match<LoggedDeviceFlush>[] {
  const logged = new Map<number, LoggedDeviceFlush[]>();
  for (const event of events) {
    if (event.event !== 'device-tlb') continue;
    const own = logged.get(event.sid) ?? [];
    logged.set(event.sid, own);
    own.push(event);
  }
  const wanted = new Map<number, Invalidation[]>();
  for (const invalidation of expected) {
    const { cache, device } = invalidation;
    const sid = cache === 'device-tlb' && device !== null ? sidOf(device) : null;
    if (sid === null) continue;
    const own = wanted.get(sid) ?? [];
    wanted.set(sid, own);
    own.push(invalidation);
  }
  return [...wanted].flatMap(([sid, own]) => inOrder(own, logged.get(sid) ?? [], isPart));
}

/** Events that are looked at to find the one that is expected. */
const LOOK_AHEAD = 16;

function inOrder(
  expected: readonly Invalidation[],
  logged: readonly LoggedDeviceFlush[],
  isPart: boolean,
): Match<LoggedDeviceFlush>[] {
  const matches: Match<LoggedDeviceFlush>[] = [];
  let next = 0;
  for (const invalidation of expected) {
    const window = logged.slice(next, next + LOOK_AHEAD);
    const skipped = window.findIndex((event) => isThat(invalidation, event));
    if (skipped < 0) {
      if (invalidation.certainty === 'sure') matches.push({ outcome: 'not-logged', expected: invalidation });
      continue;
    }
    for (const event of window.slice(0, skipped))
      matches.push({ outcome: 'only-logged', logged: event, expected: null });
    matches.push({ outcome: 'equal', logged: window[skipped]!, expected: invalidation });
    next += skipped + 1;
  }
  if (!isPart)
    for (const event of logged.slice(next))
      matches.push({ outcome: 'only-logged', logged: event, expected: null });
  return matches;
}

/** Without a PASID the RID's translations are meant. */
function isThat(expected: Invalidation, { pasid, page, order }: LoggedDeviceFlush): boolean {
  if ((expected.pasid ?? 0) !== (pasid ?? 0)) return false;
  if (expected.granularity !== 'pages' || isWhole(expected)) return order >= WHOLE_ORDER;
  return page === expected.firstPage && page + 2 ** order - 1 === expected.lastPage;
}

/** A size that reaches beyond every address. */
const WHOLE_ORDER = 51;
