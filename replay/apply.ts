import { adoptReply, execute, isLimitOpen, type Kernel, learnReply, type Reply } from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import { compareReply, type Verdict } from './compare.ts';

/**
 * A recorded call applied to a kernel, with what only the recorded reply tells. One object, valid until the
 * next call: a replay makes none for each.
 */
export interface Applied {
  readonly reply: Reply;
  /** Facts of the hardware that were taken from the reply. */
  readonly learned: number;
  /** The answer rested on a fact that nobody knew before. */
  readonly rests: boolean;
}

const applied: { -readonly [Key in keyof Applied]: Applied[Key] } = {
  reply: { modelled: false, ret: 0, errno: 0, reason: null },
  learned: 0,
  rests: false,
};

/** A learned fact may show the next one that is open; there are few. */
const MOST_QUESTIONS = 4;

/**
 * Asks the kernel, learns open facts from the recorded reply, and asks again where that changes the answer.
 */
export function applyCall(kernel: Kernel, call: Call, ask: (() => Reply) | null = null): Applied {
  applied.reply = ask === null ? execute(kernel, call) : ask();
  applied.learned = 0;
  const { rests, unknown, tailUnrecorded } = kernel.call;
  applied.rests = rests.length > 0;
  const isLimit = call.op === 'ioctl' && call.replied && isLimitOpen(kernel, call);
  const isOpen = applied.rests || !applied.reply.modelled || unknown.length > 0 || tailUnrecorded || isLimit;
  if (!isOpen || !('replied' in call) || !call.replied) return applied;
  for (let asked = 0; asked < MOST_QUESTIONS; asked += 1) {
    const { facts, again } = learnReply(kernel, call);
    applied.learned += facts;
    if (!again) break;
    if (tailUnrecorded || isLimit) applied.rests = true;
    applied.reply = ask === null ? execute(kernel, call) : ask();
  }
  return applied;
}

/**
 * How a modelled answer compares with the recorded one: what rests on a fact that it told is no prediction.
 */
export function verdictOn(kernel: Kernel, call: Call, { reply, rests }: Applied): Verdict {
  const compared = compareReply(kernel, call, reply);
  return rests && compared === 'matched' ? 'partial' : compared;
}

/** Takes over what the kernel could not predict of a reply; answers how many facts that were. */
export function adoptAnswer(kernel: Kernel, call: Call, verdict: Verdict): number {
  if (call.op !== 'ioctl' || (verdict === 'matched' && kernel.call.unknown.length === 0)) return 0;
  return adoptReply(kernel, call);
}
