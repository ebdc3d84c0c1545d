import {
  type Context,
  chooseProfile,
  describeChanges,
  describeObject,
  type Effect,
  executeWithPatches,
  type Kernel,
  listEffects,
  NO_EFFECTS,
  type ObjectFacts,
  type Reason,
} from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import type { Store } from '../store/index.ts';
import { compareReply, describeDivergence } from './compare.ts';
import type { Divergence } from './divergence.ts';
import { objectsNamed } from './named-objects.ts';
import { kernelBefore } from './replayer.ts';

/** Effects that are kept; all are counted. Unmapping a whole IOAS may cause millions. */
const EFFECTS_KEPT = 1000;

/** An object that a call names, as it was before the call. */
export interface ExplainedObject {
  /** Fields that name it, or `fd` when the descriptor is its own. */
  readonly fields: readonly string[];
  readonly id: number;
  /** Null when no object has that id. */
  readonly object: ObjectFacts | null;
}

/** Everything there is to say about one call. */
export interface Explanation {
  readonly call: Call;
  /** Name of the kernel profile that was used. */
  readonly profile: string;
  readonly profileExact: boolean;
  readonly objects: readonly ExplainedObject[];
  /** False when the model does not know the call: the rest says nothing then. */
  readonly modelled: boolean;
  readonly ret: number;
  readonly errno: number;
  /** Why the model refuses; null when it does not. */
  readonly reason: Reason | null;
  /** What changed of the control state, one sentence each. */
  readonly changes: readonly string[];
  /** The first effects; `effectCount` has them all. */
  readonly effects: readonly Effect[];
  readonly effectCount: number;
  /** How the recorded reply differs; null when it does not, or when none was recorded. */
  readonly divergence: Divergence | null;
}

/**
 * Explains one call of a trace: replays what came before it, and executes it on a draft. Null when the trace
 * has no call with that `seq`.
 */
export function explainCall(
  store: Store,
  traceId: number,
  seq: number,
  options: { readonly kernel?: string | null } = {},
): Explanation | null {
  const trace = store.findTrace(traceId);
  if (trace === null) throw new Error(`no trace ${traceId}`);
  const [call] = store.readCallsExact(traceId, { fromSeq: seq, toSeq: seq });
  if (call === undefined) return null;
  const { profile, exact } = chooseProfile(options.kernel ?? trace.header.kernel, trace.header.pageSizeBytes);
  const kernel = kernelBefore(store, trace, profile, seq);
  return { call, profile: profile.name, profileExact: exact, ...explainAt(kernel, call) };
}

/** Explains a call to a kernel that has seen all calls before it; the kernel has then seen this one too. */
export function explainAt(
  kernel: Kernel,
  call: Call,
): Omit<Explanation, 'call' | 'profile' | 'profileExact'> {
  const objects = explainObjects(kernel, call);
  const told = listEffects(EFFECTS_KEPT);
  const before = kernel.state;
  kernel.effects = told.sink;
  const { reply, patches } = executeWithPatches(kernel, call);
  kernel.effects = NO_EFFECTS;
  const { modelled, ret, errno, reason } = reply;
  const isAnswered = modelled && (!('replied' in call) || call.replied);
  const isDiverged = isAnswered && compareReply(kernel, call, reply) === 'diverged';
  return {
    objects,
    modelled,
    ret,
    errno,
    reason,
    changes: describeChanges(before, kernel.state, patches),
    effects: told.effects,
    effectCount: told.count(),
    divergence: isDiverged ? describeDivergence(kernel, call, reply) : null,
  };
}

function explainObjects(kernel: Kernel, call: Call): ExplainedObject[] {
  const { context, object } = fileBehind(kernel, call);
  if (context === null) return [];
  const fields = new Map<number, string[]>();
  const name = (id: number, field: string): void => {
    if (id !== 0) fields.set(id, [...(fields.get(id) ?? []), field]);
  };
  name(object, 'fd');
  for (const { field, dir, id } of objectsNamed(call, 'arg')) if (dir !== 'out') name(id, field);
  return [...fields].map(([id, names]) => ({
    fields: names,
    id,
    object: describeObject(kernel, context, id),
  }));
}

/** The context that a call's descriptor belongs to, and the object behind it; 0 when there is none. */
function fileBehind(kernel: Kernel, call: Call): { context: Context | null; object: number } {
  const { processes, files, contexts } = kernel.state;
  // A process never seen before has the descriptors of the one that called last: its parent.
  const process = processes[call.pid] ?? processes[kernel.lastPid];
  const file = 'fd' in call ? files[process?.descriptors[call.fd] ?? 0] : undefined;
  return { context: contexts[file?.context ?? 0] ?? null, object: file?.object ?? 0 };
}
