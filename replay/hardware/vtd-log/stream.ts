import type { Invalidation } from '../iotlb/invalidation.ts';
import { fits, isRepeated } from './fits.ts';
import type { LoggedFlush } from './parse.ts';

/**
 * The invalidations of one domain id: those that the trace predicts against those of the log, in order.
 *
 * Where frames are unknown a map is flushed piece by piece, and where the pieces part is unknown too. So the
 * order is followed as by a machine that is in several states at once: each says which item is next, and
 * between which pages the next piece of it may begin.
 */

export type Item =
  | { readonly kind: 'flush'; readonly expected: Invalidation }
  /** Whatever the kernel does with a domain of its own, for as long as it has the id: up to a place. */
  | { readonly kind: 'own'; until: number };

/** What came of one event or item. */
export type Match<L = LoggedFlush> =
  | { readonly outcome: 'equal'; readonly logged: L; readonly expected: Invalidation }
  | { readonly outcome: 'own'; readonly logged: L }
  | { readonly outcome: 'only-logged'; readonly logged: L; readonly expected: Invalidation | null }
  | { readonly outcome: 'not-logged'; readonly expected: Invalidation };

interface State {
  /** Next item. */
  readonly item: number;
  /** Of an item in pieces that has begun: first pages that the next piece may have; null before. */
  readonly starts: readonly [low: number, high: number] | null;
  /** How it came here. */
  readonly path: Path | null;
}

interface Path {
  readonly match: Match;
  readonly before: Path | null;
}

/** Items that are looked at to find the one that an unexpected event belongs to. */
const LOOK_AHEAD = 64;
/** States that are followed at once; more than a handful never make a difference. */
const MOST_STATES = 64;

export function matchStream(items: readonly Item[], events: readonly LoggedFlush[]): Match[] {
  let states: State[] = [{ item: 0, starts: null, path: null }];
  for (const logged of events) {
    const next = states.flatMap((state) => [...advance(items, state, logged)]);
    states = next.length > 0 ? distinct(next) : [resync(items, states[0]!, logged)];
  }
  return unwind(finish(items, states));
}

/** States that an event leads to; none when it does not fit. */
function* advance(items: readonly Item[], state: State, logged: LoggedFlush): Generator<State> {
  for (let at = state.item; at < items.length; at += 1) {
    const item = items[at]!;
    const starts = at === state.item ? state.starts : null;
    if (item.kind === 'own') {
      if (logged.at < item.until)
        yield { item: at, starts: null, path: put(state, { outcome: 'own', logged }) };
      continue;
    }
    const { expected } = item;
    const path = put(state, { outcome: 'equal', logged, expected });
    if (expected.certainty === 'split') {
      yield* pieces(items, at, expected, starts, logged, path);
      return;
    }
    if (fits(expected, logged)) yield { item: at + (isRepeated(expected) ? 0 : 1), starts: null, path };
    if (expected.certainty === 'sure') return;
  }
}

function put({ path }: State, match: Match): Path {
  return { match, before: path };
}

/** One more piece of an area: it begins where the last one ended; what was flushed tells where it ends. */
function* pieces(
  items: readonly Item[],
  at: number,
  { changedFirst, changedLast }: Invalidation,
  starts: readonly [number, number] | null,
  logged: LoggedFlush,
  path: Path,
): Generator<State> {
  const [low, high] = starts ?? [changedFirst, changedFirst];
  const ends = endsOf(low, high, changedLast, logged);
  if (ends !== null) {
    if (ends[1] === changedLast) yield { item: at + 1, starts: null, path };
    if (ends[0] < changedLast)
      yield { item: at, starts: [ends[0] + 1, Math.min(ends[1], changedLast - 1) + 1], path };
  }
  // A table that was in the way of a large page is flushed before the piece itself.
  const before = items[at - 1];
  const isReplaced = before?.kind === 'flush' && isRepeated(before.expected);
  if (isReplaced && fits(before.expected, logged)) yield { item: at, starts, path };
}

/** Last pages that a piece may have which begins between low and high, and for which this was flushed. */
function endsOf(low: number, high: number, last: number, logged: LoggedFlush): [number, number] | null {
  // A piece beyond the largest mask flushes the whole domain.
  if (logged.event === 'iotlb-domain') return [low, last];
  if (logged.event !== 'iotlb-pages' && logged.event !== 'piotlb-pages') return null;
  const { page, order } = logged;
  const size = 2 ** order;
  if (order === 0) return low <= page && page <= Math.min(high, last) ? [page, page] : null;
  const half = page + size / 2;
  // Both halves of the block are touched, else a smaller one would have done.
  if (low >= half || high < page) return null;
  const end = Math.min(page + size - 1, last);
  return end < half ? null : [half, end];
}

/** An event that fits nowhere: items were left out before it, or it is one too many. */
function resync(items: readonly Item[], state: State, logged: LoggedFlush): State {
  for (let skip = 1; skip <= LOOK_AHEAD && state.item + skip < items.length; skip += 1) {
    const from: State = { item: state.item + skip, starts: null, path: missing(items, state, skip) };
    const [found] = advance(items, from, logged);
    if (found !== undefined) return found;
  }
  const item = items[state.item];
  const expected = item?.kind === 'flush' ? item.expected : null;
  return { ...state, path: put(state, { outcome: 'only-logged', logged, expected }) };
}

function missing(items: readonly Item[], state: State, count: number): Path | null {
  let path = state.path;
  for (const item of items.slice(state.item, state.item + count)) {
    if (item.kind === 'flush' && item.expected.certainty !== 'possible')
      path = { match: { outcome: 'not-logged', expected: item.expected }, before: path };
  }
  return path;
}

function distinct(states: readonly State[]): State[] {
  const seen = new Map<string, State>();
  for (const state of states) {
    const key = `${state.item} ${state.starts?.join('-') ?? ''}`;
    if (!seen.has(key)) seen.set(key, state);
  }
  return [...seen.values()].slice(0, MOST_STATES);
}

/** The state that leaves the least undone; what it leaves was not logged. */
function finish(items: readonly Item[], states: readonly State[]): Path | null {
  const [best] = [...states].sort(
    (a, b) => b.item - a.item || Number(a.starts !== null) - Number(b.starts !== null),
  );
  return best === undefined ? null : missing(items, best, items.length - best.item);
}

function unwind(path: Path | null): Match[] {
  const matches: Match[] = [];
  for (let each = path; each !== null; each = each.before) matches.push(each.match);
  return matches.reverse();
}
