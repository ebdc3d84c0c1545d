import type { Kernel } from '../../src/model/index.ts';
import type { Store, TraceInfo } from '../../store/index.ts';
import { followTrace } from '../replayer.ts';
import type { HardwareView } from './domain.ts';
import { finishView, sketchView, type ViewSketch } from './domain-view.ts';
import { afterCall, historySink } from './follow-history.ts';
import { type NotedMemory, noteMemory } from './guest-memory.ts';
import { createHistory } from './history.ts';

export interface LookOptions {
  /** Kernel release or profile name; the trace's own by default. */
  readonly kernel?: string | null;
  /** Format to show the tables in, in place of their own. */
  readonly format?: string;
}

/** What the IOMMUs of a trace hold after a call; null for the end of the trace. */
export function lookAt(
  store: Store,
  trace: TraceInfo,
  atSeq: number | null,
  options: LookOptions = {},
): HardwareView {
  const [view] = lookAtAll(store, trace, [atSeq], options);
  return view!;
}

/**
 * The same for several points in one replay. It goes on to the end of the trace, because notes that come
 * later tell frames of pages that are pinned at a point and still are.
 */
export function lookAtAll(
  store: Store,
  trace: TraceInfo,
  points: readonly (number | null)[],
  { kernel = null, format }: LookOptions = {},
): HardwareView[] {
  const history = createHistory();
  const noted: NotedMemory = new Map();
  const sketches = new Map<number | null, ViewSketch>();
  let last: { readonly kernel: Kernel; readonly seq: number } | null = null;
  const start = (started: Kernel): void => {
    started.effects = historySink(history, started);
    last = { kernel: started, seq: 0 };
  };
  followTrace(store, trace, { kernel }, start, (running, call, outcome) => {
    afterCall(history, running, call, outcome === 'diverged');
    if (call.op === 'note') noteMemory(noted, running, call);
    last = { kernel: running, seq: call.seq };
    if (points.includes(call.seq)) sketches.set(call.seq, sketchView(history, running, call.seq));
  });
  const end = last as { readonly kernel: Kernel; readonly seq: number } | null;
  if (end === null) throw new Error('a replay began without a kernel');
  sketches.set(null, sketchView(history, end.kernel, end.seq));
  return points.map((point) => {
    const sketch = sketches.get(point);
    if (sketch === undefined) throw new Error(`no call has the number ${point}`);
    return finishView(history, noted, sketch, trace.header.pageSizeBytes, format);
  });
}
