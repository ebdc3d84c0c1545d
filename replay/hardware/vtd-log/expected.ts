import { exitProcess, type Kernel } from '../../../src/model/index.ts';
import type { Call } from '../../../src/trace/index.ts';
import type { Store, TraceInfo } from '../../../store/index.ts';
import { followTrace } from '../../replayer.ts';
import { type DriverRecorder, recordDrivers } from '../driver-log.ts';
import type { DriverOp } from '../driver-op.ts';
import { afterCall, afterExit, historySink } from '../follow-history.ts';
import { createHistory, type History } from '../history.ts';
import { createExecutor } from '../iotlb/executor.ts';
import type { Invalidation } from '../iotlb/invalidation.ts';
import { createLiveState, type SeenFacts } from '../iotlb/live-state.ts';
import { createTagUses, type Origin, type Origins, type TagUse } from './tag-uses.ts';

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
  readonly origins: Origins;
  /** In the order of their beginnings. */
  readonly uses: readonly TagUse[];
  readonly times: ReadonlyMap<number, CallTime>;
  /** Last record of the trace. */
  readonly lastSeq: number;
}

export interface ExpectOptions {
  readonly kernel: string | null;
  /** What the log shows of the machine. */
  readonly seenOf: (kernel: Kernel) => SeenFacts;
}

export function expectLog(store: Store, trace: TraceInfo, { kernel, seenOf }: ExpectOptions): ExpectedLog {
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
  const origins = new Map<Invalidation, Origin>();
  const uses = createTagUses(running.machine.devices.map(({ index }) => index));
  let place = 0;
  const executor = createExecutor(
    createLiveState(
      running,
      history,
      log.log,
      (invalidation) => {
        invalidations.push(invalidation);
        origins.set(invalidation, { op: place, use: uses.of(invalidation.tag) });
      },
      seenOf(running),
    ),
  );
  ops.forEach((op, at) => {
    place = at;
    uses.begin(op, at);
    executor.execute(op);
    uses.end(at);
  });
  return {
    kernel: running,
    history,
    recorder: log,
    ops,
    invalidations,
    origins,
    uses: uses.all,
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
