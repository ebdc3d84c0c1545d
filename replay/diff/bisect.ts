import { CHANGES_KEPT, sumText, type Timeline } from '../timeline/index.ts';

/** A call after which the hardware held something else than before. */
export interface ChangePoint {
  /** 1 for the first of its trace. */
  readonly change: number;
  readonly seq: number;
}

export interface Bisection {
  /**
   * The first change of each trace after which the hardware of both is not the same; null for a trace that
   * changes it no more.
   */
  readonly a: ChangePoint | null;
  readonly b: ChangePoint | null;
  /** Changes before, which were the same in both. */
  readonly same: number;
  /** Comparisons of sums that the store keeps. */
  readonly probes: number;
  /** Records of both traces that were replayed. */
  readonly replayed: number;
}

/**
 * Finds the first call after which the hardware of two runs differs; null when it never does. Each trace
 * has a sum over all its changes of the hardware so far, which stays another one once a change was another
 * one: so halving finds the place, and only what lies between two kept points is replayed.
 */
export function bisectTraces(a: Timeline, b: Timeline): Bisection | null {
  const most = Math.min(lastChange(a), lastChange(b));
  let probes = 0;
  // In multiples of CHANGES_KEPT: equal at `low`, and not at `high`.
  let low = 0;
  let high = Math.floor(most / CHANGES_KEPT) + 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    probes += 1;
    if (chainAt(a, middle * CHANGES_KEPT) === chainAt(b, middle * CHANGES_KEPT)) low = middle;
    else high = middle;
  }
  const [nextA, nextB] = [changesAfter(a, low * CHANGES_KEPT), changesAfter(b, low * CHANGES_KEPT)];
  let same = low * CHANGES_KEPT;
  for (;;) {
    const [one, other] = [nextA.next(), nextB.next()];
    if (one === null && other === null) return null;
    if (one === null || other === null || one.chain !== other.chain) {
      const replayed = nextA.replayed() + nextB.replayed();
      return { a: pointOf(one), b: pointOf(other), same, probes, replayed };
    }
    same += 1;
  }
}

function pointOf(point: (ChangePoint & { readonly chain: string }) | null): ChangePoint | null {
  return point === null ? null : { change: point.change, seq: point.seq };
}

function lastChange(timeline: Timeline): number {
  return timeline.changeBefore(Number.MAX_SAFE_INTEGER)?.change ?? 0;
}

/** Null where no change of that number is kept. */
function chainAt(timeline: Timeline, change: number): string | null {
  const found = timeline.changeBefore(change);
  return found?.change === change ? found.chain : null;
}

interface ChangeReader {
  next(): (ChangePoint & { readonly chain: string }) | null;
  replayed(): number;
}

/** The changes after one that is kept; after number 0, all. */
function changesAfter(timeline: Timeline, change: number): ChangeReader {
  const kept = change === 0 ? null : timeline.changeBefore(change);
  const stepper = timeline.stepperAt(kept === null ? -1 : kept.seq);
  const { tracker } = stepper;
  let replayed = 0;
  let last = tracker.changes;
  return {
    next() {
      let found: (ChangePoint & { readonly chain: string }) | null = null;
      stepper.advance(Number.MAX_SAFE_INTEGER, ({ seq }) => {
        replayed += 1;
        if (tracker.changes === last) return true;
        last = tracker.changes;
        found = { change: last, seq, chain: sumText(tracker.chain) };
        return false;
      });
      return found;
    },
    replayed: () => replayed,
  };
}
