import { exitProcess, type Kernel } from '../../../src/model/index.ts';
import type { Call } from '../../../src/trace/index.ts';
import type { Store, TraceInfo } from '../../../store/index.ts';
import { followTrace } from '../../replayer.ts';
import { type DriverRecorder, recordDrivers } from '../driver-log.ts';
import type { DriverOp } from '../driver-op.ts';
import { afterCall, afterExit, createHistory, type History, historySink } from '../history.ts';
import { createExecutor } from '../iotlb/executor.ts';
import type { Invalidation } from '../iotlb/invalidation.ts';
import { createLiveState } from '../iotlb/live-state.ts';

/** What a trace says that a VT-d was told, from its first record to the exit of its processes. */

/** When a call ran, in seconds of the trace's clock. */
export interface CallTime {
  readonly start: number;
  readonly end: number;
}

export interface ExpectedLog {
  readonly kernel: Kernel;
  readonly history: History;
  readonly recorder: DriverRecorder;
  /** What the drivers did, in order: `recorder.log.ops` as they were taken. */
  readonly ops: readonly DriverOp[];
  /** In the order of the drivers. */
  readonly invalidations: readonly Invalidation[];
  readonly times: ReadonlyMap<number, CallTime>;
  /** Last record of the trace. */
  readonly lastSeq: number;
}

export interface ExpectOptions {
  readonly kernel: string | null;
  /** CAP.CM of the unit, where the trace does not tell it. */
  readonly cachingMode: boolean;
}

export function expectLog(
  store: Store,
  trace: TraceInfo,
  { kernel, cachingMode }: ExpectOptions,
): ExpectedLog {
  const history = createHistory();
  let recorder: DriverRecorder | null = null;
  let end: Kernel | null = null;
  let lastSeq = 0;
  const start = (started: Kernel): void => {
    end = started;
    recorder = recordDrivers(started, history, historySink(history, started), null);
    started.effects = recorder.sink;
  };
  followTrace(store, trace, { kernel }, start, (running, call, outcome) => {
    afterCall(history, running, call, outcome === 'diverged');
    recorder?.after(call);
    lastSeq = call.seq;
  });
  const [running, log] = [end as Kernel | null, recorder as DriverRecorder | null];
  if (running === null || log === null) throw new Error('a replay began without a kernel');
  // A program that ends closes nothing; the kernel does.
  for (const pid of Object.keys(running.state.processes)) exitProcess(running, Number(pid));
  afterExit(history, running);
  log.settle();
  const ops = [...log.log.ops];
  const invalidations: Invalidation[] = [];
  const executor = createExecutor(
    createLiveState(
      running,
      history,
      log.log,
      (invalidation) => invalidations.push(invalidation),
      cachingMode,
    ),
  );
  for (const op of ops) executor.execute(op);
  return {
    kernel: running,
    history,
    recorder: log,
    ops,
    invalidations,
    times: timesOf(store, trace),
    lastSeq,
  };
}

/** A replay reads no times; they are read for themselves. */
function timesOf(store: Store, trace: TraceInfo): Map<number, CallTime> {
  const times = new Map<number, CallTime>();
  for (const call of store.readCallsExact(trace.id)) {
    const time = timeOf(call);
    if (time !== null) times.set(call.seq, time);
  }
  return times;
}

const NS = 1e9;

function timeOf(call: Call): CallTime | null {
  if (call.tNs === null) return null;
  const took = call.extra?.['dt_ns'];
  const start = call.tNs / NS;
  return { start, end: start + (typeof took === 'number' ? took / NS : 0) };
}
