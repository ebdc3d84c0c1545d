import { createExecutor } from '../iotlb/executor.ts';
import type { Invalidation } from '../iotlb/invalidation.ts';
import { LAST_PAGE } from '../iotlb/invalidation.ts';
import { createLiveState, type LiveState, slotNow } from '../iotlb/live-state.ts';
import { WRITE } from '../table-format.ts';
import type { LogDifference, TranslationTally } from './difference.ts';
import type { ExpectedLog } from './expected.ts';
import type {
  LoggedDeviceFlush,
  LoggedFlush,
  LoggedInvalidation,
  LoggedTranslation,
  VtdEvent,
} from './parse.ts';
import type { Match } from './stream.ts';

/** Translations of the log: each hit must be of an entry that is held, each update what a walk gives. */

export interface CheckedTranslations {
  readonly tally: TranslationTally;
  readonly unknownBits: Readonly<Record<string, number>>;
  /** Translations by domains of the kernel's own. */
  readonly others: number;
  readonly differences: readonly LogDifference[];
}

interface HeldEntry {
  readonly word: bigint;
  readonly firstPage: number;
  readonly lastPage: number;
}

/** Entries by domain id, then by size and first page. */
type Held = Map<number, Map<number, Map<number, HeldEntry>>>;

/** Bits of a leaf that hold its address. */
const ADDRESS = 0xf_ffff_ffff_f000n;

export function checkTranslations(
  expected: ExpectedLog,
  events: readonly VtdEvent[],
  matches: readonly Match<LoggedFlush | LoggedDeviceFlush>[],
  sidOf: (device: number) => number | null,
): CheckedTranslations {
  const walker = createWalker(expected, sidOf);
  /** Record that each event of the log belongs to. */
  const seqs = new Map<number, number>();
  const flushes = new Map<number, Match<unknown>>();
  for (const match of matches) {
    if (!('logged' in match)) continue;
    flushes.set(match.logged.at, match);
    if (match.outcome === 'equal') seqs.set(match.logged.at, match.expected.seq);
  }
  const limits = nextRecords(events, seqs);
  const held: Held = new Map();
  const differences: LogDifference[] = [];
  const tally = { hits: 0, updates: 0 };
  const unknownBits: Record<string, number> = {};
  let others = 0;
  let seq: number | null = null;
  for (const event of events) {
    const own = seqs.get(event.at);
    if (own !== undefined && (seq === null || own > seq)) {
      seq = own;
      walker.advance(own);
    }
    if ('word' in event) {
      const found =
        event.event === 'update' && seq !== null ? walker.find(event, limits.get(event.at) ?? null) : null;
      const isOurs = seq !== null && (found !== null || walker.owns(event.sid));
      if (!isOurs) others += 1;
      const page = Number(event.iova >> 12n);
      const pages = 2 ** (event.shift - 12);
      const firstPage = page - (page % pages);
      const entry = { word: event.word, firstPage, lastPage: firstPage + pages - 1 };
      if (event.event === 'hit') {
        if (isOurs) tally.hits += 1;
        if (isOurs && !isHeld(held, event)) differences.push(difference('not-held', event, seq));
        continue;
      }
      put(held, event.did, entry);
      if (!isOurs) continue;
      tally.updates += 1;
      if (found === 'unknown page') unknownBits['page address'] = (unknownBits['page address'] ?? 0) + 40;
      else if (found !== 'equal' && found !== null) differences.push(difference(found, event, seq));
      continue;
    }
    forget(held, event, flushes.get(event.at) ?? null);
  }
  return { tally, unknownBits, others, differences };
}

function difference(
  what: LogDifference['what'],
  event: LoggedTranslation,
  seq: number | null,
): LogDifference {
  const says =
    `${event.event} of 0x${event.iova.toString(16)} by ${event.sid.toString(16)}, ` +
    `leaf 0x${event.word.toString(16)}, domain 0x${event.did.toString(16)}`;
  return { what, line: event.line, seq, says };
}

function put(held: Held, did: number, entry: HeldEntry): void {
  let sizes = held.get(did);
  if (sizes === undefined) {
    sizes = new Map();
    held.set(did, sizes);
  }
  const pages = entry.lastPage - entry.firstPage + 1;
  let places = sizes.get(pages);
  if (places === undefined) {
    places = new Map();
    sizes.set(pages, places);
  }
  places.set(entry.firstPage, entry);
}

function isHeld(held: Held, { did, iova, word }: LoggedTranslation): boolean {
  const page = Number(iova >> 12n);
  for (const [pages, places] of held.get(did) ?? []) {
    if (places.get(page - (page % pages))?.word === word) return true;
  }
  return false;
}

/**
 * What we predict is forgotten; of domains of the kernel's own, what the log says. An invalidation that
 * nobody predicted changes nothing: a hit after it would show who is right.
 */
function forget(held: Held, event: LoggedInvalidation, match: Match<unknown> | null): void {
  if (event.event === 'iotlb-global') held.clear();
  if (!('did' in event) || event.did === null || !FORGETTING.has(event.event)) return;
  if (match !== null && match.outcome === 'only-logged') return;
  const sizes = held.get(event.did);
  if (sizes === undefined) return;
  const { first, last } = match?.outcome === 'equal' ? predicted(match.expected, event) : pagesOf(event);
  for (const [pages, places] of sizes) {
    const from = first - (first % pages);
    if ((last - from) / pages > places.size) {
      for (const [page] of places) if (page >= from && page <= last) places.delete(page);
    } else for (let page = from; page <= last; page += pages) places.delete(page);
  }
}

const FORGETTING: ReadonlySet<string> = new Set(['iotlb-domain', 'iotlb-pages', 'piotlb', 'piotlb-pages']);

function pagesOf(event: LoggedInvalidation): { first: number; last: number } {
  if (event.event !== 'iotlb-pages' && event.event !== 'piotlb-pages') return { first: 0, last: LAST_PAGE };
  return { first: event.page, last: event.page + 2 ** event.order - 1 };
}

/** One of several pieces forgets what it says; everything else, what was predicted of it. */
function predicted(
  { certainty, firstPage, lastPage }: Invalidation,
  event: LoggedInvalidation,
): { first: number; last: number } {
  return certainty === 'sure' ? { first: firstPage, last: lastPage } : pagesOf(event);
}

/** For each place of the log the record of the next event that has one: nothing later has happened. */
function nextRecords(events: readonly VtdEvent[], seqs: ReadonlyMap<number, number>): Map<number, number> {
  const limits = new Map<number, number>();
  let next: number | null = null;
  for (const { at } of [...events].reverse()) {
    if (next !== null) limits.set(at, next);
    next = seqs.get(at) ?? next;
  }
  return limits;
}

type Found = 'equal' | 'unknown page' | 'not-mapped' | 'other-page';

interface Walker {
  /** Does what the trace says up to a record. */
  advance(seq: number): void;
  /**
   * What is wrong with an entry that the unit made; null where the device has no table of the trace. A map or
   * an attachment may leave no mark in the log, so the tables go on, up to a record (null: the last), until
   * they give the entry.
   */
  find(event: LoggedTranslation, limit: number | null): Found | null;
  /** The device translates by a table of the trace now. */
  owns(sid: number): boolean;
}

/** The tables once more, step by step along the log, with all frames that the whole trace tells. */
function createWalker(expected: ExpectedLog, sidOf: (device: number) => number | null): Walker {
  const { kernel, history, recorder, ops } = expected;
  const state: LiveState = createLiveState(kernel, history, recorder.log, () => {});
  const executor = createExecutor(state);
  const deviceOf = new Map(kernel.machine.devices.map(({ index }) => [sidOf(index), index]));
  let done = 0;
  const owns = (sid: number): boolean => {
    const device = deviceOf.get(sid);
    return device !== undefined && slotNow(state, device, 0).kind === 'paging';
  };
  const check = ({ sid, iova, word, shift }: LoggedTranslation): Found => {
    const now = slotNow(state, deviceOf.get(sid)!, 0);
    const table = now.kind === 'paging' ? state.domains.get(now.domain)?.table : undefined;
    if (table === undefined) return 'unknown page';
    const access = (word & BigInt(WRITE)) !== 0n ? 'w' : 'r';
    const page = Number(iova >> 12n);
    const { frame, fault } = table.walk(page, access);
    if (fault !== null) return 'not-mapped';
    if (frame === null || frame < 0) return 'unknown page';
    // A large leaf has the address of its first page.
    const first = BigInt(frame - (page % 2 ** (shift - 12)));
    return (word & ADDRESS) >> 12n === first ? 'equal' : 'other-page';
  };
  return {
    advance(seq) {
      for (; done < ops.length && ops[done]!.seq <= seq; done += 1) executor.execute(ops[done]!);
    },
    owns,
    find(event, limit) {
      if (!deviceOf.has(event.sid)) return null;
      let wrong: Found | null = null;
      for (;;) {
        const found = owns(event.sid) ? check(event) : null;
        if (found === 'equal' || found === 'unknown page') return found;
        wrong ??= found;
        const next = ops[done];
        if (next === undefined || (limit !== null && next.seq >= limit)) return wrong;
        executor.execute(next);
        done += 1;
      }
    },
  };
}
