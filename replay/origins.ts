import {
  createKernel,
  type EffectSink,
  type Finding,
  type Kernel,
  machineOf,
  NO_EFFECTS,
  type Origin,
  type Profile,
} from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import type { Store, TraceInfo } from '../store/index.ts';
import { adoptAnswer, applyCall, verdictOn } from './apply.ts';
import { createExitWatch, servesContainers } from './replayer.ts';

/** A finding together with the call that made what it is about. */
export interface TracedFinding extends Finding {
  /** Number of that call; null when the finding is about nothing that a call makes, or nobody looked. */
  readonly madeBy: number | null;
}

/**
 * Finds the calls that made objects and areas, by replaying all calls before `seq`: what is kept of the past
 * is its result only. The last one counts, since ids and addresses are used again.
 */
export function traceFindings(
  store: Store,
  trace: TraceInfo,
  profile: Profile,
  seq: number,
  findings: readonly Finding[],
): TracedFinding[] {
  const wanted = new Set(findings.flatMap(({ origin }) => (origin === null ? [] : keyOf(origin))));
  const makers =
    wanted.size === 0 ? new Map<string, number>() : findMakers(store, trace, profile, seq, wanted);
  return findings.map((finding) => ({
    ...finding,
    madeBy: finding.origin === null ? null : (makers.get(keyOf(finding.origin)) ?? null),
  }));
}

function findMakers(
  store: Store,
  trace: TraceInfo,
  profile: Profile,
  seq: number,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, number> {
  const makers = new Map<string, number>();
  let now = 0;
  const note = (origin: Origin): void => {
    const key = keyOf(origin);
    if (wanted.has(key)) makers.set(key, now);
  };
  const kernel = createKernel(profile, servesContainers(trace), makersSink(note), machineOf(trace.header));
  const exits = createExitWatch(store, trace.id, kernel, []);
  store.readCalls(trace.id, { fromSeq: 0, toSeq: seq - 1 }, (call) => {
    now = call.seq;
    exits.before(call);
    applyOne(kernel, call);
    exits.after(call);
  });
  return makers;
}

/** Applies a recorded call as a replay does, with what only the reply tells. */
function applyOne(kernel: Kernel, call: Call): void {
  const applied = applyCall(kernel, call);
  if (!applied.reply.modelled || !('replied' in call) || !call.replied) return;
  adoptAnswer(kernel, call, verdictOn(kernel, call, applied));
}

function makersSink(note: (origin: Origin) => void): EffectSink {
  return {
    ...NO_EFFECTS,
    objectCreated: (context, _, id) => note({ kind: 'object', context, id }),
    rangeMapped: (context, ioas, { areas }, slot) => {
      const iova = toAddress(areas.startPage[slot]!, areas.startOffset[slot]!);
      const iovaLast = toAddress(areas.lastPage[slot]!, areas.lastOffset[slot]!);
      note({ kind: 'area', context, ioas, iova, iovaLast });
    },
  };
}

/** Pages of the model's addresses have 4096 bytes, whatever the page of the kernel. */
function toAddress(page: number, offset: number): bigint {
  return BigInt(page) * 4096n + BigInt(offset);
}

function keyOf(origin: Origin): string {
  if (origin.kind === 'object') return `${origin.context} ${origin.id}`;
  return `${origin.context} ${origin.ioas} ${origin.iova} ${origin.iovaLast}`;
}
