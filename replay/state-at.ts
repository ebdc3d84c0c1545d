import type { Store, TraceInfo } from '../store/index.ts';
import { type GraphOptions, type ObjectGraph, objectGraph } from './graph/index.ts';
import { openTimeline, sinceOf, type Timeline, type TimelineOptions } from './timeline/index.ts';

/** The object graph after a call of a trace, by way of its timeline; null for the end. */
export function graphAt(timeline: Timeline, seq: number | null, options: GraphOptions = {}): ObjectGraph {
  const { kernel, tracker, seq: at } = timeline.stepperAt(seq ?? timeline.trace.lastSeq ?? -1);
  return objectGraph(kernel, at(), { ...options, since: sinceOf(tracker, kernel) });
}

/** The same for a trace whose timeline nobody has opened. */
export function stateAt(
  store: Store,
  trace: TraceInfo,
  seq: number | null,
  options: TimelineOptions & GraphOptions = {},
): ObjectGraph {
  return graphAt(openTimeline(store, trace, options), seq, options);
}
