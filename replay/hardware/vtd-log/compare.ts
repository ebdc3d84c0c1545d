import type { Kernel } from '../../../src/model/index.ts';
import type { Store, TraceInfo } from '../../../store/index.ts';
import type { Invalidation } from '../iotlb/invalidation.ts';
import type { SeenFacts } from '../iotlb/live-state.ts';
import { streamIdOf } from '../smmu-look.ts';
import { type BoundUses, bindUses } from './bind-uses.ts';
import { type ClockOffset, findOffset, firstEvent } from './clock.ts';
import { matchDevices } from './device-flushes.ts';
import type { LogDifference, TranslationTally } from './difference.ts';
import { type Bindings, bindContexts } from './entries.ts';
import { type ExpectedLog, expectLog } from './expected.ts';
import { checkTranslations } from './hits.ts';
import { type LoggedDeviceFlush, type LoggedFlush, parseVtdLog, sidText, type VtdEvent } from './parse.ts';
import { findSiblings, withSiblings } from './siblings.ts';
import { type Item, type Match, matchStream } from './stream.ts';
import type { Origins } from './tag-uses.ts';
import { expectedText, loggedText } from './texts.ts';

/** A log of QEMU's emulated VT-d against what a trace says the unit was told. */

export interface LogComparison {
  /** Invalidations and translations that were compared. */
  readonly entries: number;
  readonly equal: number;
  readonly different: number;
  readonly invalidations: {
    readonly predicted: number;
    readonly equal: number;
    readonly notLogged: number;
    readonly onlyLogged: number;
  };
  readonly translations: TranslationTally;
  /** Events of domains and devices that are the kernel's own, or of before and after the trace. */
  readonly others: number;
  /** Bits of leaves whose pages no note of the trace tells. */
  readonly unknownBits: Readonly<Record<string, number>>;
  readonly clock: ClockOffset | null;
  /** Functions that the kernel attached along with a device of the trace: `01:00.1`. */
  readonly siblings: readonly string[];
  readonly differences: readonly LogDifference[];
}

export interface CompareLogOptions {
  readonly kernel?: string | null;
  /** Seconds to add to the trace's clock; found from the log otherwise. */
  readonly clockOffset?: number | null;
  /** Last record of the trace to look at; what the log has after it is not compared. */
  readonly untilSeq?: number | null;
}

/**
 * Null when the text is no log of a VT-d. Call by call: every invalidation that the trace predicts must be in
 * the log and every one of the log predicted, by kind and range; every hit must be of an entry that is held.
 */
export function compareVtdLog(
  store: Store,
  trace: TraceInfo,
  text: string,
  { kernel = null, clockOffset = null, untilSeq = null }: CompareLogOptions = {},
): LogComparison | null {
  const all = parseVtdLog(text);
  if (all === null) return null;
  const expected = expectLog(store, trace, { kernel, seenOf: (running) => seenIn(all, running) });
  const { devices } = expected.kernel.machine;
  const machineSid = (device: number): number | null => sidOfDevice(expected.kernel, device);
  const offset: ClockOffset | null =
    clockOffset === null ? findOffset(expected, all, machineSid) : { seconds: clockOffset, from: 'given' };
  const events = all.slice(firstEvent(expected, all, offset));
  const numbers = devices.map(({ index }) => index);
  const siblings = findSiblings(numbers, all, machineSid);
  const isPart = untilSeq !== null && untilSeq < expected.lastSeq;
  const wanted = isPart
    ? expected.invalidations.filter(({ seq }) => seq <= untilSeq)
    : expected.invalidations;
  const extended = withSiblings(wanted, expected.origins, siblings, devices.length, machineSid);
  const { origins } = extended;
  const sidOf = (device: number): number | null => extended.sids.get(device) ?? machineSid(device);
  const bindings = bindContexts(extended.invalidations, events, sidOf);
  const shown = shownIn(events);
  const flushes = events.filter(isFlush);
  const shownOnes = extended.invalidations.filter((each) => isShown(each, shown));
  const bound = bindUses(shownOnes, origins, expected.uses, bindings.changes, flushes);
  const matches = [
    ...matchDomains(shownOnes, origins, flushes, bound, isPart),
    ...matchDevices(extended.invalidations, events, sidOf, isPart),
  ];
  const compared = isPart ? eventsUntil(events, matches) : events;
  const translations = checkTranslations(expected, compared, matches, sidOf);
  return summary(expected, isPart ? { ...bindings, extra: [] } : bindings, matches, translations, {
    clock: offset,
    siblings: [...siblings.values()].flat().map(sidText),
    skipped: all.length - events.length,
  });
}

/** Up to the last event that the compared part of the trace explains. */
function eventsUntil(
  events: readonly VtdEvent[],
  matches: readonly Match<LoggedFlush | LoggedDeviceFlush>[],
): VtdEvent[] {
  const last = matches.reduce(
    (at, match) => (match.outcome === 'equal' ? Math.max(at, match.logged.at) : at),
    -1,
  );
  return events.filter(({ at }) => at <= last);
}

function sidOfDevice({ machine }: Kernel, device: number): number | null {
  const bdf = machine.devices[device]?.bdf ?? '';
  return bdf === '' ? null : streamIdOf(bdf);
}

/**
 * Only a unit in caching mode is told of entries that were not present before: those of domain 0. Only
 * devices that translate by themselves are told to forget.
 */
function seenIn(events: readonly VtdEvent[], kernel: Kernel): SeenFacts {
  const told = new Set<number>();
  for (const event of events) if (event.event === 'device-tlb') told.add(event.sid);
  const ats = kernel.machine.devices.map(({ index }) => index);
  return {
    cachingMode: events.some((event) => event.event === 'context' && event.did === 0),
    ats: new Set(ats.filter((index) => told.has(sidOfDevice(kernel, index) ?? -1))),
  };
}

/** Which kinds of invalidations a QEMU shows: some releases do what they are told and log nothing of it. */
interface Shown {
  /** Of entries of PASIDs: since QEMU 10.2. */
  readonly pasids: boolean;
  /** By PASID: since QEMU 9.2. */
  readonly piotlb: boolean;
}

function shownIn(events: readonly VtdEvent[]): Shown {
  return {
    pasids: events.some(({ event }) => event.startsWith('pasid')),
    piotlb: events.some(({ event }) => event.startsWith('piotlb')),
  };
}

function isShown({ cache, granularity, pasid, tag }: Invalidation, shown: Shown): boolean {
  if (cache === 'pasid') return shown.pasids && tag !== null;
  if (cache !== 'iotlb') return false;
  return shown.piotlb || (granularity !== 'pasid' && (granularity !== 'pages' || pasid === null));
}

const UNTIL_THE_END: Item = { kind: 'own', until: Number.POSITIVE_INFINITY };

/** Items of each domain id in order, and what of the log has this id from then on. */
function matchDomains(
  expected: readonly Invalidation[],
  origins: Origins,
  all: readonly LoggedFlush[],
  bound: BoundUses,
  isPart: boolean,
): Match[] {
  const items = new Map<number, Item[]>();
  const from = new Map<number, number>();
  const unbound: Match[] = [];
  for (const invalidation of expected) {
    const use = origins.get(invalidation)?.use ?? null;
    const did = use === null ? undefined : bound.ids.get(use);
    if (use === null || did === undefined) {
      if (invalidation.certainty !== 'possible')
        unbound.push({ outcome: 'not-logged', expected: invalidation });
      continue;
    }
    const own = items.get(did) ?? [];
    items.set(did, own);
    if (!from.has(did)) from.set(did, bound.from(use));
    const last = own.at(-1);
    if (last?.kind === 'own') last.until = bound.from(use);
    own.push({ kind: 'flush', expected: invalidation });
    // Ids that no device of the trace has any more are the kernel's to give to others.
    if (invalidation.cause === 'entry' && !isOfUser(invalidation))
      own.push({ kind: 'own', until: Number.POSITIVE_INFINITY });
  }
  const flushes = new Map<number, LoggedFlush[]>();
  for (const event of all) {
    const first = from.get(event.did);
    if (first === undefined || event.at < first) continue;
    const own = flushes.get(event.did) ?? [];
    own.push(event);
    flushes.set(event.did, own);
  }
  // What comes after the part that is compared is nobody's.
  if (isPart) for (const own of items.values()) own.push(UNTIL_THE_END);
  return [...items].flatMap(([did, own]) => matchStream(own, flushes.get(did) ?? [])).concat(unbound);
}

function isFlush(event: VtdEvent): event is LoggedFlush {
  return (
    event.event === 'iotlb-domain' ||
    event.event === 'iotlb-pages' ||
    event.event === 'piotlb' ||
    event.event === 'piotlb-pages' ||
    event.event === 'pasid'
  );
}

function isOfUser({ tag }: Invalidation): boolean {
  return tag !== null && !tag.startsWith('own');
}

interface Facts {
  readonly clock: ClockOffset | null;
  readonly siblings: readonly string[];
  readonly skipped: number;
}

function summary(
  { kernel }: ExpectedLog,
  { changes, extra }: Bindings,
  matches: readonly Match<LoggedFlush | LoggedDeviceFlush>[],
  translations: ReturnType<typeof checkTranslations>,
  { clock, siblings, skipped }: Facts,
): LogComparison {
  const differences: LogDifference[] = [...translations.differences];
  const invalidations = { predicted: 0, equal: 0, notLogged: 0, onlyLogged: 0 };
  let others = skipped + translations.others;
  const count = (
    isLogged: boolean,
    isPredicted: boolean,
    line: number | null,
    seq: number | null,
    says: string,
  ) => {
    if (isPredicted) invalidations.predicted += 1;
    if (isPredicted && isLogged) invalidations.equal += 1;
    else if (isPredicted) {
      invalidations.notLogged += 1;
      differences.push({ what: 'not-logged', line, seq, says });
    } else {
      invalidations.onlyLogged += 1;
      differences.push({ what: 'only-logged', line, seq, says });
    }
  };
  for (const { context, logged, device } of changes) {
    const name = kernel.machine.devices[device]?.bdf ?? 'a function of the same group';
    count(logged !== null, true, logged?.line ?? null, context.seq, `context of ${name}`);
  }
  for (const { line, sid } of extra) count(true, false, line, null, `context of ${sidText(sid)}`);
  for (const match of matches) {
    if (match.outcome === 'own') others += 1;
    else if (match.outcome === 'only-logged')
      count(true, false, match.logged.line, match.expected?.seq ?? null, loggedText(match.logged));
    else if (match.outcome === 'not-logged')
      count(false, true, null, match.expected.seq, expectedText(match.expected));
    else count(true, true, match.logged.line, match.expected.seq, '');
  }
  const { tally, unknownBits } = translations;
  const equal = invalidations.equal + tally.hits + tally.updates - translations.differences.length;
  differences.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.seq ?? 0) - (b.seq ?? 0));
  return {
    entries: equal + differences.length,
    equal,
    different: differences.length,
    invalidations,
    translations: tally,
    others,
    unknownBits,
    clock,
    siblings,
    differences,
  };
}
