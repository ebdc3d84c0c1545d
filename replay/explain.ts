import {
  adviceOn,
  type CallFacts,
  type CheckResult,
  type Context,
  describeChanges,
  describeObject,
  describeVfio,
  type Effect,
  executeWithPatches,
  type Finding,
  factsOf,
  findRemedy,
  type Kernel,
  listEffects,
  markChecks,
  NO_EFFECTS,
  type ObjectFacts,
  type PatchedReply,
  planChecks,
  type Reason,
  type VfioFacts,
} from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import { CMD } from '../src/uapi/index.ts';
import type { Store } from '../store/index.ts';
import { applyCall } from './apply.ts';
import { compareReply, describeDivergence } from './compare.ts';
import type { Divergence } from './divergence.ts';
import { chooseModel, type ModelChoice } from './model-choice.ts';
import { descriptorNamed, objectsNamed } from './named-objects.ts';
import { type TracedFinding, traceFindings } from './origins.ts';
import { kernelBefore } from './replayer.ts';

/** Effects that are kept; all are counted. Unmapping a whole IOAS may cause millions. */
const EFFECTS_KEPT = 1000;

const VFIO_CALLS: ReadonlySet<number> = new Set([
  CMD.VFIO_CHECK_EXTENSION,
  CMD.VFIO_SET_IOMMU,
  CMD.VFIO_IOMMU_GET_INFO,
  CMD.VFIO_IOMMU_MAP_DMA,
  CMD.VFIO_IOMMU_UNMAP_DMA,
]);

/** An object that a call names, as it was before the call. */
export interface ExplainedObject {
  /** Fields that name it, or `fd` when the descriptor is its own. */
  readonly fields: readonly string[];
  readonly id: number;
  /** The context that it belongs to. */
  readonly context: number;
  /** Null when no object has that id. */
  readonly object: ObjectFacts | null;
}

/** The context behind the descriptor of a call, before the call. */
export interface ExplainedContext {
  readonly id: number;
  /** Contexts that there are: with several, an id alone does not say which object is meant. */
  readonly count: number;
  /** Descriptors of /dev/iommu that stand for it. */
  readonly descriptors: readonly { readonly pid: number; readonly fd: number }[];
}

/** What would have made a refused call succeed. */
export interface ExplainedRefusal<F extends Finding = Finding> {
  readonly cause: string;
  readonly cure: string;
  /** What of the state bears on it. */
  readonly findings: readonly F[];
  /** What would have been let pass; null when the state does not tell more than the usual cure. */
  readonly passes: string | null;
}

/** Everything there is to say about one call. */
export interface Explanation {
  readonly call: Call;
  /** Name of the kernel profile that was used. */
  readonly profile: string;
  readonly profileExact: boolean;
  /** Null for a call without a descriptor of a context. */
  readonly context: ExplainedContext | null;
  readonly objects: readonly ExplainedObject[];
  /** The VFIO device, group or container behind the descriptor, as it was before the call. */
  readonly vfio: readonly VfioFacts[];
  /** False when the model does not know the call: the rest says nothing then. */
  readonly modelled: boolean;
  readonly ret: number;
  readonly errno: number;
  /** Why the model refuses; null when it does not. */
  readonly reason: Reason | null;
  /** Null when nothing is refused. */
  readonly refusal: ExplainedRefusal<TracedFinding> | null;
  /** The checks of the command in the kernel's order; none for a call that is no command. */
  readonly checks: readonly CheckResult[];
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
  choice: ModelChoice = {},
): Explanation | null {
  const trace = store.findTrace(traceId);
  if (trace === null) throw new Error(`no trace ${traceId}`);
  const [record] = store.readCallsExact(traceId, { fromSeq: seq, toSeq: seq });
  if (record === undefined) return null;
  const model = chooseModel(store, trace, choice);
  const { kernel, partials } = kernelBefore(store, trace, model, seq);
  const call = partials.resolve(record);
  const { refusal, divergence, ...rest } = explainAt(kernel, call);
  const isDivergence = partials.judge(call, divergence === null ? 'matched' : 'diverged') === 'diverged';
  const traced =
    refusal === null
      ? null
      : { ...refusal, findings: traceFindings(store, trace, model, seq, refusal.findings) };
  return {
    call,
    profile: model.profile.name,
    profileExact: model.exact,
    ...rest,
    refusal: traced,
    divergence: isDivergence ? divergence : null,
  };
}

/** What a kernel alone can say, which does not know which calls made what it holds. */
export interface ExplanationAt extends Omit<Explanation, 'call' | 'profile' | 'profileExact' | 'refusal'> {
  readonly refusal: ExplainedRefusal | null;
}

/** Explains a call to a kernel that has seen all calls before it; the kernel has then seen this one too. */
export function explainAt(kernel: Kernel, call: Call): ExplanationAt {
  const facts = factsOf(kernel, call);
  const context = explainContext(kernel, facts.context);
  const objects = explainObjects(kernel, call, facts.context);
  const vfio = 'fd' in call ? describeVfio(kernel, call.pid, call.fd) : [];
  const before = kernel.state;
  let told = listEffects(EFFECTS_KEPT);
  let plan = planChecks(kernel, call, facts);
  let patches: PatchedReply['patches'] = [];
  // What the reply tells is known when the call is asked again: it decides which checks there are.
  const { reply } = applyCall(kernel, call, () => {
    plan = planChecks(kernel, call, facts);
    told = listEffects(EFFECTS_KEPT);
    kernel.effects = told.sink;
    const answered = executeWithPatches(kernel, call);
    patches = answered.patches;
    return answered.reply;
  });
  kernel.effects = NO_EFFECTS;
  const { modelled, ret, errno, reason } = reply;
  const checks = plan === null || !modelled ? [] : markChecks(plan, reason);
  const refusal =
    reason === null
      ? null
      : explainRefusal(
          { ...facts, kernel: { ...kernel, state: before } },
          plan?.command ?? '',
          checks,
          reason,
        );
  const isAnswered = modelled && (!('replied' in call) || call.replied);
  const isDiverged = isAnswered && compareReply(kernel, call, reply) === 'diverged';
  return {
    context,
    objects,
    vfio,
    modelled,
    ret,
    errno,
    reason,
    refusal,
    checks,
    changes: describeChanges(before, kernel.state, patches),
    effects: told.effects,
    effectCount: told.count(),
    divergence: isDiverged ? describeDivergence(kernel, call, reply) : null,
  };
}

/** The facts are from before the call: see src/model/remedy/index.ts. */
function explainRefusal(
  facts: CallFacts,
  command: string,
  checks: readonly CheckResult[],
  { id }: Reason,
): ExplainedRefusal {
  const at = checks.find(({ status }) => status === 'refused')?.at ?? null;
  const { findings, passes } = findRemedy(id, { ...facts, command, at }) ?? NO_REMEDY;
  return { ...(adviceOn(id) ?? NO_ADVICE), findings, passes };
}

const NO_REMEDY = { findings: [], passes: null } as const;
const NO_ADVICE = { cause: '', cure: '' } as const;

function explainContext(kernel: Kernel, context: Context | null): ExplainedContext | null {
  if (context === null) return null;
  const { contexts, processes, files } = kernel.state;
  const descriptors = Object.values(processes).flatMap(({ pid, descriptors: numbers }) =>
    Object.entries(numbers)
      .filter(([, id]) => files[id]?.kind === 'iommufd' && files[id].context === context.id)
      .map(([fd]) => ({ pid, fd: Number(fd) })),
  );
  return { id: context.id, count: Object.keys(contexts).length, descriptors };
}

/** `context` is that of the call: for a descriptor of VFIO the one that it is bound or set to. */
function explainObjects(kernel: Kernel, call: Call, context: Context | null): ExplainedObject[] {
  if (context === null) return [];
  const own = fileBehind(kernel, call, 'fd' in call ? call.fd : null);
  const object = own.context === null ? 0 : own.object;
  const fields = new Map<number, string[]>();
  const name = (id: number, field: string): void => {
    if (id !== 0) fields.set(id, [...(fields.get(id) ?? []), field]);
  };
  name(object, 'fd');
  for (const { field, dir, id } of objectsNamed(call, 'arg')) if (dir !== 'out') name(id, field);
  // The calls of VFIO use an IOAS that they do not name.
  if (call.op === 'ioctl' && VFIO_CALLS.has(call.cmd)) name(context.vfioIoas, 'used by VFIO calls');
  const inContext = (of: Context, id: number, names: readonly string[]): ExplainedObject => ({
    fields: names,
    id,
    context: of.id,
    object: describeObject(kernel, of, id),
  });
  const objects = [...fields].map(([id, names]) => inContext(context, id, names));
  // An access object may live in another context than the descriptor of the call.
  const access = fileBehind(kernel, call, descriptorNamed(call));
  if (access.context === null || access.object === 0) return objects;
  const { ioas } = describeObject(kernel, access.context, access.object)?.facts ?? {};
  const item = inContext(access.context, access.object, [`id (descriptor ${descriptorNamed(call)})`]);
  if (typeof ioas !== 'number') return [item, ...objects];
  return [item, inContext(access.context, ioas, ['attached IOAS']), ...objects];
}

/** The context that a descriptor of the caller belongs to, and the object behind it; 0 when there is none. */
function fileBehind(
  kernel: Kernel,
  call: Call,
  fd: number | null,
): { context: Context | null; object: number } {
  const { processes, files, contexts } = kernel.state;
  // A process never seen before has the descriptors of the one that called last: its parent.
  const process = processes[call.pid] ?? processes[kernel.lastPid];
  const file = fd === null ? undefined : files[process?.descriptors[fd] ?? 0];
  return { context: contexts[file?.context ?? 0] ?? null, object: file?.object ?? 0 };
}
