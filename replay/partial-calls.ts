import { type Kernel, predictedStruct, type Reply } from '../src/model/index.ts';
import { type Call, isAnswerWhole, isRequestWhole, type NamedNumber } from '../src/trace/index.ts';
import { callName, type Verdict } from './compare.ts';

/**
 * What a replay does with calls that were recorded in part (importers of logs make such calls, and notes of
 * what a recorder lost). They are applied as far as they go. An answer is predicted only while the model's
 * state is that of the recorded kernel: once a request took effect that nobody recorded whole, no later
 * difference says anything about the kernel, and none is called a divergence.
 */
export interface PartialCalls {
  /** What follows from requests that were not recorded whole, as a sentence; null when none took effect. */
  readonly assumption: string | null;
  /** Nothing is open: a state of the model alone tells how to go on. */
  readonly isSettled: boolean;
  /** The call with the numbers that earlier answers gave it. */
  resolve(call: Call): Call;
  /** Takes note of a call that was applied, and of the numbers that its answer gives. */
  applied(kernel: Kernel, call: Call, reply: Reply): void;
  /** What a verdict comes to, given what is missing of the call and of those before it. */
  judge(call: Call, verdict: Verdict): Verdict;
}

/** Commands that change nothing, whatever they ask. */
const ONLY_ASKS: ReadonlySet<string> = new Set([
  'IOMMU_GET_HW_INFO',
  'IOMMU_IOAS_IOVA_RANGES',
  'VFIO_CHECK_EXTENSION',
  'VFIO_GET_API_VERSION',
  'VFIO_IOMMU_GET_INFO',
  'VFIO_GROUP_GET_STATUS',
  'VFIO_DEVICE_GET_INFO',
  'VFIO_DEVICE_GET_REGION_INFO',
  'VFIO_DEVICE_GET_IRQ_INFO',
  'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
]);

/** Starts with a state that is certain. `predicted`: recorded answers are not looked at. */
export function createPartialCalls(answers: 'recorded' | 'predicted' = 'recorded'): PartialCalls {
  const numbers = new Map<string, bigint>();
  let unsureFrom: number | null = null;
  const becomeUnsure = (seq: number): void => {
    unsureFrom ??= seq;
  };
  return {
    get assumption() {
      if (unsureFrom === null) return null;
      const why = 'what it asked was not recorded whole';
      return `from call ${unsureFrom} on no difference is called a divergence: ${why}`;
    },
    get isSettled() {
      return unsureFrom === null && numbers.size === 0;
    },
    resolve: (call) =>
      call.partial?.uses === undefined ? call : withNumbers(call, call.partial.uses, numbers),
    applied(kernel, call, reply) {
      if (call.op === 'note') {
        if (call.kind === 'lost') becomeUnsure(call.seq);
        return;
      }
      const { partial } = call;
      if (partial === undefined) return;
      for (const named of partial.defines ?? [])
        keepNumber(numbers, named, kernel, answers === 'recorded' ? call : unanswered(call), reply);
      if (call.op === 'ioctl' && ONLY_ASKS.has(callName(call))) return;
      const refused = 'replied' in call && call.replied && call.ret < 0 && partial.doubtful === undefined;
      if (!isRequestWhole(partial) && !refused) becomeUnsure(call.seq);
    },
    judge(call, verdict) {
      const { partial } = call;
      if (partial === undefined) return verdict === 'diverged' && unsureFrom !== null ? 'partial' : verdict;
      if (verdict === 'matched')
        return isRequestWhole(partial) && isAnswerWhole(partial) ? verdict : 'partial';
      if (verdict === 'diverged' && !isExplained(call) && unsureFrom === null) return verdict;
      return 'partial';
    },
  };
}

/** Whether what is missing of this very call may be the reason why it was answered otherwise. */
function isExplained({ partial }: Call): boolean {
  if (partial === undefined) return false;
  return !isRequestWhole(partial) || partial.doubtful !== undefined || partial.missing.includes('memory');
}

/** Whether nothing can be applied: the struct decides what is asked for. */
export function isUnreadable(call: Call): boolean {
  return call.op === 'ioctl' && call.partial !== undefined && call.partial.missing.includes('arg');
}

function withNumbers(call: Call, uses: readonly NamedNumber[], numbers: ReadonlyMap<string, bigint>): Call {
  let changed = call;
  for (const { name, in: place, at, bytes } of uses) {
    const value = numbers.get(name);
    if (value === undefined) continue;
    if (place === 'fd' && 'fd' in changed) changed = { ...changed, fd: Number(value) } as Call;
    if (place !== 'arg' || changed.op !== 'ioctl' || changed.arg === null) continue;
    if (at + bytes > changed.arg.length) continue;
    const arg = Uint8Array.from(changed.arg);
    for (let index = 0; index < bytes; index += 1)
      arg[at + index] = Number((value >> BigInt(8 * index)) & 0xffn);
    changed = { ...changed, arg, out: changed.out === changed.arg ? arg : changed.out };
  }
  return changed;
}

/** The call as a prediction sees it. */
function unanswered(call: Call): Call {
  if (call.op === 'ioctl') return { ...call, replied: false, out: null };
  return 'replied' in call ? { ...call, replied: false } : call;
}

/** What an answer gives: the recorded one where there is one, else the predicted one. */
function keepNumber(
  numbers: Map<string, bigint>,
  { name, in: place, at, bytes }: NamedNumber,
  kernel: Kernel,
  call: Call,
  reply: Reply,
): void {
  if (place === 'ret') {
    numbers.set(name, BigInt('replied' in call && call.replied ? call.ret : reply.ret));
    return;
  }
  if (place === 'fd' && 'fd' in call) numbers.set(name, BigInt(call.fd));
  if (place !== 'arg' || call.op !== 'ioctl') return;
  const struct = call.out ?? predictedStruct(kernel, call);
  if (struct === null || at + bytes > struct.length) return;
  let value = 0n;
  for (let index = bytes - 1; index >= 0; index -= 1) value = (value << 8n) | BigInt(struct[at + index]!);
  numbers.set(name, value);
}
