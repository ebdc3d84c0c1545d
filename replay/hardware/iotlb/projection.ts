import type { EffectSink, Kernel } from '../../../src/model/index.ts';
import type { Call } from '../../../src/trace/index.ts';
import type { Outcome, ReplayWatcher } from '../../watcher.ts';
import { type DriverRecorder, recordDrivers } from '../driver-log.ts';
import type { DriverOp } from '../driver-op.ts';
import { afterCall, afterExit, historySink } from '../follow-history.ts';
import { type NotedMemory, noteMemory } from '../guest-memory.ts';
import { createHistory, type History } from '../history.ts';
import { stepsBetween } from '../step-list.ts';
import { type AccessAnswer, type AccessRequest, accessPage } from './access.ts';
import { applyInvalidation, type CachedSlot, type Caches, createCaches } from './caches.ts';
import { type DmaDifference, dmaDifferences } from './dma-differences.ts';
import { accessesOf } from './dma-records.ts';
import type { Entry } from './entry.ts';
import { createExecutor, type Executor } from './executor.ts';
import {
  createPageRequestQueue,
  type FaultRecord,
  faultRecord,
  type PageRequest,
  type PageRequestQueue,
  type PageResponse,
} from './fault-records.ts';
import type { Geometry } from './geometry.ts';
import type { Invalidation } from './invalidation.ts';
import { createLiveState, deviceOf, type LiveState } from './live-state.ts';
import { allEntries, allSlots, isEmpty, recheckAll, recheckDomain, recheckNested } from './recheck.ts';

/**
 * What the caches of all IOMMUs hold, followed through a replay. Give `watchIotlb` to `replayTrace` as its
 * watcher; what happened is told call by call, and can be asked for between calls.
 */

/** Everything that one record did to the caches, in the order in which it happened. */
export interface IotlbStep {
  readonly seq: number;
  /** What the kernel invalidated, and what user space made it invalidate. */
  readonly invalidations: readonly Invalidation[];
  /** Accesses of devices: what they met, and what they left behind. */
  readonly accesses: readonly AccessAnswer[];
  /**
   * Entries that a change of this record made untrue and that no invalidation of it reached: `stale` of each
   * says what a walk gives now, and who would have had to invalidate what. It is null again once a later
   * change makes the entry true by chance, so look at it while being told.
   */
  readonly becameStale: readonly Entry[];
  /** Stale entries that were forgotten at last. */
  readonly forgotten: readonly Entry[];
  /** What the hardware records of accesses that nothing let through. */
  readonly faults: readonly FaultRecord[];
  /** What a record `dma` says of its access, and can not be. */
  readonly differences: readonly DmaDifference[];
  /** Entries of context and PASID caches that became stale (`stale` of each says why). */
  readonly staleSlots: readonly CachedSlot[];
  /** Pages that devices asked for, and answers to them, as they crossed a fault queue's descriptor. */
  readonly pageRequests: readonly PageRequest[];
  readonly pageResponses: readonly PageResponse[];
}

export interface IotlbOptions {
  /** Bounds of the IOTLBs; without, whatever hardware may hold is held. */
  readonly geometry?: Geometry | null;
  /** Told of each record that did anything. */
  readonly onStep?: (step: IotlbStep) => void;
}

export interface IotlbProjection extends ReplayWatcher {
  /** After the last record: takes in what the exit of a process did. */
  finish(): void;
  /** An access of a device now. */
  access(request: AccessRequest): AccessAnswer;
  /** Entries of all caches, by IOMMU, cache, tag, PASID and page. */
  entries(): Entry[];
  /** Those of them that are stale. */
  stale(): Entry[];
  /** What context and PASID caches hold, by device and PASID. */
  slots(): CachedSlot[];
  /** Pages that devices asked for and still wait for. */
  waiting(): PageRequest[];
  readonly caches: ReadonlyMap<string, Caches>;
  readonly state: LiveState;
}

interface Running {
  readonly kernel: Kernel;
  readonly history: History;
  readonly recorder: DriverRecorder;
  readonly executor: Executor;
  readonly noted: NotedMemory;
  readonly caches: Map<string, Caches>;
  readonly unbounded: boolean;
  readonly pageQueue: PageRequestQueue;
  readonly onStep: ((step: IotlbStep) => void) | null;
  step: Collected;
}

/** An IotlbStep while it is put together. */
interface Collected {
  readonly invalidations: Invalidation[];
  readonly accesses: AccessAnswer[];
  readonly becameStale: Entry[];
  readonly forgotten: Entry[];
  readonly faults: FaultRecord[];
  readonly differences: DmaDifference[];
  readonly staleSlots: CachedSlot[];
  readonly pageRequests: PageRequest[];
  readonly pageResponses: PageResponse[];
}

/** Follows the caches of a kernel's IOMMUs; the kernel must not have been stepped yet. */
export function watchIotlb(kernel: Kernel, options: IotlbOptions = {}): IotlbProjection {
  const running = start(kernel, options);
  const { executor } = running;
  return {
    effects: running.recorder.sink,
    before: () => settle(running),
    after: (call, outcome) => after(running, call, outcome),
    finish: () => settle(running),
    access: (request) => access(running, request, executor.state.seq),
    entries: () => allEntries(running),
    stale: () => allEntries(running).filter(({ stale }) => stale !== null),
    slots: () => allSlots(running),
    waiting: () => running.pageQueue.waiting(),
    caches: running.caches,
    state: executor.state,
  };
}

function start(kernel: Kernel, { geometry = null, onStep }: IotlbOptions): Running {
  const history = createHistory();
  const base: EffectSink = historySink(history, kernel);
  const recorder = recordDrivers(kernel, history, base, null);
  const caches = new Map<string, Caches>();
  for (const { name } of kernel.machine.iommus) caches.set(name, createCaches(name, geometry));
  const tell = (invalidation: Invalidation): void => invalidate(running, invalidation);
  const state = createLiveState(kernel, history, recorder.log, tell);
  const running: Running = {
    kernel,
    history,
    recorder,
    executor: createExecutor(state),
    noted: new Map(),
    caches,
    unbounded: geometry === null,
    pageQueue: createPageRequestQueue(),
    onStep: onStep ?? null,
    step: newStep(),
  };
  return running;
}

function newStep(): Collected {
  return {
    invalidations: [],
    accesses: [],
    becameStale: [],
    forgotten: [],
    faults: [],
    differences: [],
    staleSlots: [],
    pageRequests: [],
    pageResponses: [],
  };
}

function invalidate(running: Running, invalidation: Invalidation): void {
  running.step.invalidations.push(invalidation);
  const own = running.caches.get(invalidation.iommu);
  if (own !== undefined) applyInvalidation(own, invalidation, running.step.forgotten);
}

/** What came after the last record belongs to it: the exit of a process. */
function settle(running: Running): void {
  const { recorder, history, kernel } = running;
  afterExit(history, kernel);
  recorder.settle();
  execute(running, recorder.take());
  finishStep(running, running.executor.state.seq);
}

function after(running: Running, call: Call, outcome: Outcome | null | undefined): void {
  const { history, kernel, recorder, noted, executor } = running;
  afterCall(history, kernel, call, outcome === 'diverged');
  recorder.after(call);
  executor.state.seq = call.seq;
  execute(running, recorder.take());
  if (call.op === 'note') {
    noteMemory(noted, kernel, call);
    recheckNested(running, call.seq);
  }
  const { asked, answered } = running.pageQueue.take(kernel, call);
  running.step.pageRequests.push(...asked);
  running.step.pageResponses.push(...answered);
  const answers: AccessAnswer[] = [];
  for (const request of accessesOf(kernel, executor.state, call))
    answers.push(access(running, request, call.seq));
  if (call.op === 'dma') running.step.differences.push(...dmaDifferences(call, answers, running.unbounded));
  finishStep(running, call.seq);
}

function finishStep(running: Running, seq: number): void {
  const { step, onStep } = running;
  // A fault is an access, and forgetting an invalidation.
  const { invalidations, accesses, becameStale, pageRequests, pageResponses } = step;
  const told = invalidations.length + accesses.length + becameStale.length + step.staleSlots.length;
  if (told + pageRequests.length + pageResponses.length === 0) return;
  running.step = newStep();
  onStep?.({ seq, ...step });
}

function access(running: Running, request: AccessRequest, seq: number): AccessAnswer {
  const { executor, noted, caches, unbounded, step } = running;
  const { name } = deviceOf(executor.state, request.device).iommu;
  const context = { state: executor.state, noted, caches: caches.get(name)!, seq, unbounded };
  const answer = accessPage(context, request);
  step.accesses.push(answer);
  const fault = faultRecord(executor.state, answer);
  if (fault !== null) step.faults.push(fault);
  return answer;
}

function execute(running: Running, ops: readonly DriverOp[]): void {
  const { executor, history } = running;
  const { state } = executor;
  for (const op of ops) {
    const done = op.op === 'steps' ? (state.domains.get(op.domain)?.done ?? 0) : 0;
    executor.execute(op);
    if (isEmpty(running)) continue;
    if (op.op === 'steps') {
      const list = history.domains.get(op.domain)?.steps;
      const steps = list === undefined ? [] : stepsBetween(list, history, done, op.end);
      const spans = steps.map(({ fill }) => ({
        firstPage: fill.page,
        lastPage: fill.page + fill.pageCount - 1,
      }));
      recheckDomain(running, `d${op.domain}`, spans, op.seq);
    } else if (!LEAVES_ENTRIES.has(op.op)) {
      recheckAll(running, op.seq);
    }
  }
}

/** Ops that change no entry of a table. */
const LEAVES_ENTRIES: ReadonlySet<DriverOp['op']> = new Set([
  'alloc',
  'guest',
  'invalidate',
  'tracking',
  'dirty',
]);
