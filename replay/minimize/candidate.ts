import {
  execute,
  exitProcess,
  type Kernel,
  predictedBuffers,
  predictedRead,
  predictedStruct,
  type Reply,
} from '../../src/model/index.ts';
import { type Call, type CallLinks, type IoctlCall, type Link, valueAt } from '../../src/trace/index.ts';
import { adoptAnswer, applyCall, verdictOn } from '../apply.ts';
import { describeDivergence, isPredicted } from '../compare.ts';
import type { Divergence } from '../divergence.ts';
import { findExits } from '../lifetimes.ts';
import { createDescriptorNumbers, type DescriptorNumbers } from './descriptor-numbers.ts';
import { type OwnCall, setGiven, withNumbers } from './rewrite.ts';

/** A record with what its numbers stand for. */
export interface LinkedCall {
  readonly call: Call;
  readonly links: CallLinks;
}

/** What all candidates of a trace share. */
export interface CandidateBase {
  /** A kernel that has seen nothing. */
  readonly newKernel: () => Kernel;
  /** Whether the call diverged in the whole trace: its recorded answer is kept then. */
  readonly diverged: (seq: number) => boolean;
  /** The call that the candidate is about; it may not go. */
  readonly target: number;
}

/** A shorter trace that holds together. */
export interface Candidate {
  /** Positions, in what was given, of the records that are in it. */
  readonly kept: readonly number[];
  readonly calls: readonly Call[];
  /** What the model answered to the target, and how that differs from its record (null: it does not). */
  readonly answer: { readonly errno: number; readonly reason: string | null; readonly modelled: boolean };
  readonly divergence: Divergence | null;
}

/**
 * Applies some records of a trace to a new kernel, as a trace of its own: ids are those that the kernel gives
 * there, and descriptors numbers that are free there. A record that names something whose maker is not among
 * them goes too; an answer that no longer holds is the model's.
 * @param keep Positions of the records, ascending.
 * @returns Null when the target would have to go.
 */
export function buildCandidate(
  base: CandidateBase,
  records: readonly LinkedCall[],
  keep: readonly number[],
): Candidate | null {
  const kernel = base.newKernel();
  const numbers = new Map<number, bigint>();
  const descriptors = createDescriptorNumbers();
  const exits = exitsOf(records, keep);
  const kept: number[] = [];
  const calls: Call[] = [];
  let answer: Candidate['answer'] | null = null;
  let divergence: Divergence | null = null;
  for (const position of keep) {
    const { call, links } = records[position]!;
    const isTarget = call.seq === base.target;
    if (!links.uses.every((link) => isThere(link, numbers))) {
      if (isTarget) return null;
      continue;
    }
    descriptors.begin(call);
    const own = withNumbers(call, links, numbers);
    const fresh = links.gives.filter(({ resource }) => !numbers.has(resource.index));
    takeDescriptors(own, links.gives, numbers, descriptors);
    setGiven(own, links.gives, numbers);
    const applied = applyCall(kernel, own, () => answerWithNumbers(kernel, own, links.gives, numbers));
    const verdict = own.op === 'note' || !wasAnswered(own) ? 'partial' : verdictOn(kernel, own, applied);
    if (isTarget) {
      const { errno, reason, modelled } = applied.reply;
      answer = { errno, reason: reason?.id ?? null, modelled };
      divergence = verdict === 'diverged' ? describeDivergence(kernel, own, applied.reply) : null;
    }
    if (verdict === 'diverged' && !base.diverged(call.seq)) takeAnswer(kernel, own, applied.reply);
    else adoptAnswer(kernel, own, verdict);
    forgetNumbers(own, fresh, numbers, descriptors);
    kept.push(position);
    calls.push(own);
    for (const pid of exits.get(call.seq) ?? []) exitProcess(kernel, pid, call.seq);
  }
  return answer === null ? null : { kept, calls, answer, divergence };
}

/** Addresses may be used without the record that mapped them; for everything else the maker must be there. */
function isThere({ resource }: Link, numbers: ReadonlyMap<number, bigint>): boolean {
  return (
    resource.type === 'memory' ||
    resource.type === 'iova' ||
    resource.madeBy === null ||
    numbers.has(resource.index)
  );
}

function wasAnswered(call: Call): boolean {
  return isPredicted(call) && (!('replied' in call) || call.replied);
}

/** Chooses the numbers of new descriptors: they are inputs of the model. */
function takeDescriptors(
  { pid }: OwnCall,
  gives: readonly Link[],
  numbers: Map<number, bigint>,
  descriptors: DescriptorNumbers,
): void {
  for (const { resource } of gives)
    if (resource.type === 'descriptor')
      numbers.set(resource.index, BigInt(descriptors.take(pid, Number(resource.recorded))));
    else if (resource.type === 'cookie') numbers.set(resource.index, resource.recorded);
}

/**
 * Asks the kernel, and sets the ids in the recorded answer to those that the kernel gave, before anybody
 * looks at that answer.
 */
function answerWithNumbers(
  kernel: Kernel,
  own: OwnCall,
  gives: readonly Link[],
  numbers: Map<number, bigint>,
): Reply {
  const reply = execute(kernel, own as Call);
  if (own.op === 'call') {
    for (const { resource } of gives)
      numbers.set(
        resource.index,
        reply.modelled && reply.errno === 0 ? BigInt(reply.ret) : resource.recorded,
      );
    setGiven(own, gives, numbers);
  }
  if (own.op !== 'ioctl' || gives.length === 0) return reply;
  const struct = reply.modelled && reply.errno === 0 ? predictedStruct(kernel, own as IoctlCall) : null;
  const unknown = new Set(kernel.call.unknown.map(({ at }) => at));
  for (const { resource, place } of gives) {
    if (resource.type === 'descriptor' || place.at !== 'struct') continue;
    const isPredictedId = struct !== null && !unknown.has(place.site.offset);
    const number = isPredictedId ? valueAt(struct, place.site) : resource.recorded;
    numbers.set(resource.index, number);
  }
  setGiven(own, gives, numbers);
  return reply;
}

/** Replaces a recorded answer, which is that of a longer trace, by the model's. */
function takeAnswer(kernel: Kernel, own: OwnCall, reply: Reply): void {
  if (!('ret' in own)) {
    if (own.op === 'poll') own.fields = { ...own.fields, ret: reply.ret, revents: kernel.call.revents };
    return;
  }
  own.ret = reply.ret;
  own.errno = reply.errno;
  if (own.op === 'read') own.out = predictedRead(kernel);
  if (own.op === 'call') own.out = reply.out ?? {};
  if (own.op !== 'ioctl') return;
  own.out = predictedStruct(kernel, own as IoctlCall);
  const after = predictedBuffers(kernel, own as IoctlCall);
  own.mem = own.mem.map((buffer, index) => ({ ...buffer, after: after[index]?.after ?? buffer.after }));
}

/** A refused call gave nothing after all; a closed number is free. */
function forgetNumbers(
  own: OwnCall,
  fresh: readonly Link[],
  numbers: Map<number, bigint>,
  descriptors: DescriptorNumbers,
): void {
  const failed = 'ret' in own && own.ret === -1;
  if (failed) {
    for (const { resource } of fresh) {
      const number = numbers.get(resource.index);
      if (number !== undefined && resource.type === 'descriptor') descriptors.free(own.pid, Number(number));
      numbers.delete(resource.index);
    }
  }
  if (own.op === 'close' && !failed) descriptors.free(own.pid, own.fd);
}

/** When processes end in this candidate, as a replay of it will take it. */
function exitsOf(
  records: readonly LinkedCall[],
  keep: readonly number[],
): ReadonlyMap<number, readonly number[]> {
  const first = keep[0];
  if (first === undefined) return new Map();
  const { pid } = records[first]!.call;
  if (keep.every((position) => records[position]!.call.pid === pid)) return new Map();
  return findExits((visit) => {
    for (const position of keep) visit(records[position]!.call);
  });
}
