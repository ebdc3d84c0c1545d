import { NO_EFFECTS } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { errnoName } from '../../src/uapi/index.ts';
import type { Store, TraceInfo } from '../../store/index.ts';
import type { Divergence } from '../divergence.ts';
import type { ModelChoice } from '../model-choice.ts';
import { replayTrace } from '../replayer.ts';
import type { Outcome } from '../watcher.ts';
import { type MinimizeGoal, NothingToMinimizeError } from './minimize.ts';

/** What a replay of the whole trace says of one call. */
interface Answer {
  readonly call: Call;
  readonly outcome: Outcome;
  readonly errno: number;
  readonly reason: string | null;
  readonly divergence: Divergence | null;
}

/**
 * The goal that a call is refused as it was: with the same errno and, where the model knows one, for the same
 * reason.
 * @throws NothingToMinimizeError when the call succeeded, or when the model does not answer as recorded.
 */
export function errnoGoal(
  store: Store,
  trace: TraceInfo,
  seq: number,
  choice: ModelChoice = {},
): MinimizeGoal {
  const { call, errno, reason, outcome } = answerAt(store, trace, seq, choice);
  const recorded = 'errno' in call ? call.errno : Number('fields' in call ? (call.fields['errno'] ?? 0) : 0);
  if (recorded === 0) throw new NothingToMinimizeError(`call ${seq} did not fail`);
  if (outcome === 'not-modelled') throw new NothingToMinimizeError(`the model does not know call ${seq}`);
  if (errno !== recorded) {
    throw new NothingToMinimizeError(
      `call ${seq} failed with ${errnoName(recorded)}, but the model answers ${errnoName(errno)}: ` +
        `--divergence ${seq} minimizes that difference`,
    );
  }
  return {
    target: seq,
    related: [],
    shows: ({ answer }) => answer.modelled && answer.errno === errno && answer.reason === reason,
  };
}

/**
 * The goal that the recorded answer to a call differs from the model's in the same field, and for the same
 * reason.
 * @throws NothingToMinimizeError when the call does not diverge.
 */
export function divergenceGoal(
  store: Store,
  trace: TraceInfo,
  seq: number,
  choice: ModelChoice = {},
): MinimizeGoal {
  const { divergence } = answerAt(store, trace, seq, choice);
  if (divergence === null)
    throw new NothingToMinimizeError(`call ${seq} does not diverge: its answer is the model's`);
  return {
    target: seq,
    related: [],
    shows: (candidate) => candidate.divergence !== null && isSame(candidate.divergence, divergence),
  };
}

/** Numbers in structs may be others; what was returned, and why, may not. */
function isSame(one: Divergence, other: Divergence): boolean {
  if (one.field !== other.field || one.reason !== other.reason) return false;
  const isResult = one.field === 'errno' || one.field === 'ret';
  return !isResult || (one.recorded === other.recorded && one.predicted === other.predicted);
}

function answerAt(store: Store, trace: TraceInfo, seq: number, choice: ModelChoice): Answer {
  const [call] = store.readCallsExact(trace.id, { fromSeq: seq, toSeq: seq });
  if (call === undefined) throw new NothingToMinimizeError(`no call has the number ${seq}`);
  if (call.op === 'note') throw new NothingToMinimizeError(`record ${seq} is a note, not a call`);
  const found: { errno: number; reason: string | null; outcome: Outcome } = {
    errno: 0,
    reason: null,
    outcome: 'partial',
  };
  const { divergences } = replayTrace(store, trace.id, {
    ...choice,
    untilSeq: seq,
    maxDivergences: Number.MAX_SAFE_INTEGER,
    watch: (kernel) => ({
      effects: NO_EFFECTS,
      before: () => undefined,
      after: (at) => {
        if (at.seq !== seq) return;
        found.errno = kernel.reply.errno;
        found.reason = kernel.reply.reason?.id ?? null;
      },
    }),
    onCall: (at, outcome) => {
      if (at.seq === seq) found.outcome = outcome;
    },
  });
  return { call, ...found, divergence: divergences.find((each) => each.seq === seq) ?? null };
}
