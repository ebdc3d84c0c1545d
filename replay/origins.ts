import { type EffectSink, type Finding, NO_EFFECTS, type Origin } from '../src/model/index.ts';
import type { Store, TraceInfo } from '../store/index.ts';
import { type ChosenModel, createModel } from './model-choice.ts';
import { applyBefore } from './replayer.ts';

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
  model: ChosenModel,
  seq: number,
  findings: readonly Finding[],
): TracedFinding[] {
  const wanted = new Set(findings.flatMap(({ origin }) => (origin === null ? [] : keyOf(origin))));
  const makers = wanted.size === 0 ? new Map<string, number>() : findMakers(store, trace, model, seq, wanted);
  return findings.map((finding) => ({
    ...finding,
    madeBy: finding.origin === null ? null : (makers.get(keyOf(finding.origin)) ?? null),
  }));
}

function findMakers(
  store: Store,
  trace: TraceInfo,
  model: ChosenModel,
  seq: number,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, number> {
  const makers = new Map<string, number>();
  const made: string[] = [];
  const sink = makersSink((origin) => {
    const key = keyOf(origin);
    if (wanted.has(key)) made.push(key);
  });
  applyBefore(store, trace, createModel(trace, model, sink), seq, (call) => {
    for (const key of made) makers.set(key, call.seq);
    made.length = 0;
  });
  return makers;
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
