import { callName, objectsNamed } from '../../../replay/index.ts';
import type { Call } from '../../trace/index.ts';
import { askedRange, slotsIn } from '../lint/asked.ts';
import type { ChainLink } from '../lint/finding.ts';
import { contextOf } from '../lint/lint-call.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { areaSpan, label, text } from '../lint/text.ts';

/** A refusal, and the call that made it one: whether two threads made them is looked up at the end. */
interface Candidate {
  readonly seq: number;
  readonly name: string;
  readonly causeSeq: number;
  readonly what: string;
  /** It was not refused: the two calls are a hazard only where they ran at the same time. */
  readonly isOverlap?: true;
}

/** Candidates that are kept: looking one up reads the log. */
const MOST = 10_000;
const MOST_OVERLAPS = 1000;

const GONE = [
  'ioas-not-found',
  'device-not-found',
  'hwpt-not-found',
  'viommu-not-found',
  'fault-queue-not-found',
  'hwpt-parent-not-found',
  'attach-target-not-found',
  'object-not-found',
] as const;

export const orderHazard: Rule = {
  id: 'order-hazard',
  severity: 'warning',
  title: 'What comes of two calls depends on which of two threads was first',
  doc: {
    detects: text(
      'A call that is refused because another thread (or process) has destroyed the object that it',
      'names, or has mapped the range that it maps: had it come first, it would have succeeded. Needs',
      'a recorder that tells threads (`tid`), or several processes. Where it tells when calls began',
      'and how long they took (`t_ns`, `dt_ns`), also a map and an unmap of one range by two threads',
      'that ran at the same time: nothing was refused, and what is mapped in the end is chance.',
    ),
    why: text(
      'The outcome depends on which thread comes first. On another day the same program fails',
      'elsewhere, or a map survives that should be gone.',
    ),
    fix: text(
      'Put the two calls under one lock, or let one thread own the object. The order that the program',
      'needs must follow from the program.',
    ),
    falseAlarms: text(
      'Threads that hand work over under a lock and fail for another reason: the order is fixed then,',
      'and the refusal is a plain bug, which its own rule tells.',
    ),
    source: 'reference 5, bugs 1, 16 and 17: calls of two threads on one object',
  },
  start(world, report) {
    const candidates: Candidate[] = [];
    const overlaps: Candidate[] = [];
    const add = (causeSeq: number, what: string): void => {
      const { call } = world;
      if (candidates.length >= MOST || causeSeq < 0 || causeSeq === call.seq) return;
      candidates.push({ seq: call.seq, name: callName(call.record), causeSeq, what });
    };
    world.areas.onNear((causeSeq, space, slot, cause) => {
      if (overlaps.length >= MOST_OVERLAPS) return;
      const { call } = world;
      const what = `${areaSpan(space, slot)} was ${cause}`;
      overlaps.push({ seq: call.seq, name: callName(call.record), causeSeq, what, isOverlap: true });
    });
    return {
      refused: {
        ...Object.fromEntries(GONE.map((id) => [id, () => lookAtObjects(world, add)])),
        'iova-already-mapped': () => lookAtOverlap(world, add),
      },
      finish() {
        // A recorder that tells no threads and no times does so nowhere.
        const [one] = overlaps;
        const record = one === undefined ? null : world.recordAt(one.seq);
        const isTold = record !== null && record.tid !== null && record.tNs !== null;
        for (const candidate of isTold ? [...candidates, ...overlaps] : candidates)
          tellThreads(world, report, candidate);
      },
    };
  },
};

type Add = (causeSeq: number, what: string) => void;

function lookAtObjects({ kernel, call, lives }: LintWorld, add: Add): void {
  const context = contextOf(kernel, call);
  for (const { id, dir } of objectsNamed(call.record, 'arg')) {
    const life = dir === 'out' ? undefined : lives.find(context, id);
    if (life !== undefined && life.diedSeq !== null)
      add(life.diedSeq, `${label(life.type, id)} was destroyed`);
  }
}

function lookAtOverlap({ kernel, call, areas }: LintWorld, add: Add): void {
  const asked = askedRange(kernel, call);
  const slot = asked === null ? undefined : slotsIn(asked.space, asked.first, asked.length, 1)[0];
  if (asked === null || slot === undefined) return;
  add(areas.of(asked.space)?.seq[slot] ?? -1, `${areaSpan(asked.space, slot)} was mapped`);
}

function tellThreads({ recordAt }: LintWorld, report: Report, candidate: Candidate): void {
  const { seq, name, causeSeq, what, isOverlap } = candidate;
  const [cause, refused] = [recordAt(causeSeq), recordAt(seq)];
  if (cause === null || refused === null) return;
  const [one, other] = [cause.tid ?? cause.pid, refused.tid ?? refused.pid];
  if (one === other) return;
  const chain: ChainLink[] = [
    { seq: causeSeq, role: `thread ${one}`, says: what },
    { seq, role: `thread ${other}`, says: isOverlap ? `${name} at the same time` : `${name} is refused` },
  ];
  if (isOverlap === true) {
    if (!ranTogether(cause, refused)) return;
    report({
      seq,
      message: text(
        `${name} of thread ${other} ran while ${what} by thread ${one} in call ${causeSeq}: what is mapped`,
        'there afterwards depends on which of the two came first',
      ),
      chain,
    });
    return;
  }
  report({
    seq,
    message: text(
      `${name} of thread ${other} fails because ${what} by thread ${one} in call ${causeSeq}; had it`,
      'come first, it would have succeeded',
    ),
    chain,
  });
}

/** Each had begun before the other was over; false where the trace does not tell. */
function ranTogether(first: Call, second: Call): boolean {
  const [took, tookSecond] = [first.extra?.['dt_ns'], second.extra?.['dt_ns']];
  if (first.tNs === null || second.tNs === null) return false;
  if (typeof took !== 'number' || typeof tookSecond !== 'number') return false;
  return second.tNs < first.tNs + took && first.tNs < second.tNs + tookSecond;
}
