import {
  execute,
  type Kernel,
  predictedBuffers,
  predictedRead,
  predictedStruct,
  type Reply,
} from '../src/model/index.ts';
import type { Call, JsonValue } from '../src/trace/index.ts';
import { hexOf } from '../src/uapi/index.ts';
import type { Store } from '../store/index.ts';
import { createExitWatch } from './exit-watch.ts';
import { chooseModel, createModel, type ModelChoice } from './model-choice.ts';
import { createPartialCalls } from './partial-calls.ts';

/** What the model answers to one call, without having seen what was recorded. */
export interface Prediction {
  readonly seq: number;
  readonly ret?: number | string;
  readonly errno?: number;
  /** Struct bytes after the call, in hex. */
  readonly out?: string;
  /** Results by name of a call without a binary layout. */
  readonly results?: Readonly<Record<string, JsonValue>>;
  readonly mem?: readonly { readonly addr: string; readonly after: string }[];
  /** Id of the reason of a refusal. */
  readonly reason?: string;
  /** What the answer takes for granted, and no record shows: bytes of a struct that were left out. */
  readonly assumed?: readonly string[];
  /**
   * Fields that nothing recorded tells: `out_access_fd`, `mem[0].after`; `*` when the call is not modelled
   * yet.
   */
  readonly unknown?: readonly string[];
}

export interface PredictSummary {
  readonly calls: number;
  /** Calls predicted in full. */
  readonly predicted: number;
  /** Calls with an unknown field. */
  readonly unknown: number;
}

export interface PredictOptions extends ModelChoice {
  readonly onProgress?: (calls: number) => void;
}

/** Predicts every call of a trace; `visit` sees them in order. Recorded replies are not looked at. */
export function predictTrace(
  store: Store,
  traceId: number,
  visit: (prediction: Prediction) => void,
  options: PredictOptions = {},
): PredictSummary {
  const trace = store.findTrace(traceId);
  if (trace === null) throw new Error(`no trace ${traceId}`);
  const kernel = createModel(trace, chooseModel(store, trace, options, false));
  const exits = createExitWatch(store, traceId, kernel, []);
  let calls = 0;
  let unknown = 0;
  const partials = createPartialCalls('predicted');
  store.readCalls(traceId, {}, (record) => {
    exits.before(record);
    const call = partials.resolve(record);
    const reply = execute(kernel, call);
    if (call.partial !== undefined) partials.applied(kernel, call, reply);
    if (call.op !== 'note' && call.op !== 'dma') {
      const prediction = describe(kernel, call, reply);
      calls += 1;
      if (prediction.unknown !== undefined) unknown += 1;
      visit(prediction);
      options.onProgress?.(calls);
    }
    exits.after(call);
  });
  return { calls, predicted: calls - unknown, unknown };
}

/**
 * Result of a call that is an input: what mmap, fork and their like returned is not the kernel API modelled
 * here.
 */
function inputResult(call: Call): { readonly ret: number | string; readonly errno: number } | null {
  switch (call.op) {
    case 'mmap':
      return { ret: call.mapped === null ? -1 : `0x${call.mapped.toString(16)}`, errno: call.errno };
    case 'munmap':
    case 'fork':
    case 'waitpid':
      return { ret: call.ret, errno: call.errno };
    case 'memfd_create':
    case 'ftruncate':
    case 'cap_set_proc':
    case 'procstatus':
      return { ret: Number(call.fields['ret'] ?? 0), errno: Number(call.fields['errno'] ?? 0) };
    default:
      return null;
  }
}

function describe(kernel: Kernel, call: Call, reply: Reply): Prediction {
  const { seq } = call;
  const input = inputResult(call);
  if (input !== null) return { seq, ...input };
  // An answer that rests on an open fact of the hardware is none.
  if (!reply.modelled || (call.op === 'ioctl' && kernel.call.rests.length > 0))
    return { seq, unknown: ['*'] };
  const base = {
    seq,
    ret: reply.ret,
    errno: reply.errno,
    ...(reply.reason === null ? {} : { reason: reply.reason.id }),
  };
  if (call.op === 'call') return { ...base, results: reply.out ?? {} };
  if (call.op === 'read') return { ...base, out: hexOf(predictedRead(kernel)) };
  if (call.op !== 'ioctl') return base;
  const out = predictedStruct(kernel, call);
  const buffers = predictedBuffers(kernel, call);
  const unknown = kernel.call.unknown.map(({ name }) => name);
  if (kernel.call.retIsDescriptor) unknown.push('ret');
  const assumed = kernel.call.tailUnrecorded ? ['struct tail not recorded: not all zero'] : [];
  const mem: { addr: string; after: string }[] = [];
  for (const [index, { addr, after }] of buffers.entries()) {
    if (after === null) unknown.push(`mem[${index}].after`);
    else mem.push({ addr: `0x${addr.toString(16)}`, after: hexOf(after) });
  }
  return {
    ...base,
    ...(out === null ? {} : { out: hexOf(out) }),
    mem,
    ...(assumed.length === 0 ? {} : { assumed }),
    ...(unknown.length === 0 ? {} : { unknown }),
  };
}
