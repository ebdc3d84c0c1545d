import { adoptAnswer, applyCall, createExitWatch, verdictOn } from '../../replay/index.ts';
import { chooseModel, createModel } from '../../replay/model-choice.ts';
import { type LintFinding, lintTrace } from '../../src/audit/index.ts';
import { predictedBuffers, predictedRead, predictedStruct } from '../../src/model/index.ts';
import type { Kernel, Reply } from '../../src/model/kernel.ts';
import type { Call, IoctlCall } from '../../src/trace/index.ts';
import { type Recording, withStored } from './stored.ts';

/** Findings of a recording, and traces that are changed and answered anew. */

export function lint(recording: Recording): readonly LintFinding[] {
  return withStored(recording, (store, traceId) => lintTrace(store, traceId).findings);
}

/** Room between the calls for others: every number ten times as high. */
export function spaced({ header, calls }: Recording): Recording {
  return { header, calls: calls.map((call) => ({ ...call, seq: call.seq * 10 })) };
}

/**
 * The recording with the answers that the kernel of its header would have given: those of the model. What it
 * cannot know (numbers of descriptors, facts of hardware) stays as recorded.
 */
export function answeredAnew(recording: Recording): Recording {
  return withStored(recording, (store, traceId) => {
    const trace = store.findTrace(traceId)!;
    const kernel = createModel(trace, chooseModel(store, trace, {}));
    const exits = createExitWatch(store, traceId, kernel, []);
    const calls = recording.calls.map((call) => {
      exits.before(call);
      const applied = applyCall(kernel, call);
      const answered = applied.rests ? call : withReply(kernel, call, applied.reply);
      adoptAnswer(kernel, answered, verdictOn(kernel, answered, applied));
      exits.after(call);
      return answered;
    });
    return { header: recording.header, calls };
  });
}

function withReply(kernel: Kernel, call: Call, { modelled, ret, errno }: Reply): Call {
  if (!modelled || !('replied' in call) || !call.replied) return call;
  if (call.op === 'ioctl') return ioctlWithReply(kernel, call, ret, errno);
  if (call.op === 'write' || call.op === 'pwrite') return { ...call, ret, errno };
  if (call.op === 'read' && call.kind === 'fault')
    return { ...call, ret, errno, out: Uint8Array.from(predictedRead(kernel)) };
  return call;
}

function ioctlWithReply(kernel: Kernel, call: IoctlCall, ret: number, errno: number): IoctlCall {
  if (kernel.call.retIsDescriptor && errno === 0 && call.errno === 0) return call;
  const out = predictedStruct(kernel, call);
  for (const { at, bytes } of kernel.call.unknown)
    if (out !== null && call.out !== null && errno === 0) out.set(call.out.subarray(at, at + bytes), at);
  const after = predictedBuffers(kernel, call);
  const mem = call.mem.map((buffer, index) => ({ ...buffer, after: after[index]?.after ?? buffer.after }));
  return { ...call, ret, errno, out, mem };
}
