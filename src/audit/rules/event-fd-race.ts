import { NO_EFFECTS } from '../../model/index.ts';
import { CMD } from '../../uapi/index.ts';
import { argU32, contextOf, type LintCall } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

/** Offset of the id in struct iommu_destroy. */
const ID = 4;
/** Calls between close and destroy up to which they may as well have overlapped. */
const NEAR_CALLS = 4;

interface Closed {
  readonly seq: number;
  readonly nth: number;
}

interface Candidate {
  readonly closeSeq: number;
  readonly destroySeq: number;
  readonly name: string;
  readonly chain: ReturnType<typeof bornLink>[];
}

export const eventFdRace: Rule = {
  id: 'event-fd-race',
  severity: 'warning',
  title: 'A queue is destroyed in one thread while another closes its descriptor',
  doc: {
    detects: text(
      'IOMMU_DESTROY of a fault queue or vEVENTQ at most four calls away from the close of its',
      'descriptor, by different threads (needs `tid`, or two processes).',
    ),
    why: text(
      'The release of the descriptor drops its reference and then still reads the object (a use after',
      'free until the fix in 6.12.117; 7.3-rc7 still has it): a destroy in another thread frees it in',
      'between.',
    ),
    fix: 'Close the descriptor and destroy the object in one thread, one after the other.',
    falseAlarms: 'Threads that hand the queue over under a lock.',
    source: 'eventq.c iommufd_eventq_fops_release; reference 5, bug 1',
  },
  start(world, report) {
    const closed = new Map<string, Closed>();
    const candidates: Candidate[] = [];
    let queue = '';
    return {
      before: { [CMD.IOMMU_DESTROY]: (call) => noteDestroy(world, call, closed, candidates) },
      ops: {
        close: ({ record, seq, nth }) => {
          if (record.op !== 'close' || (record.kind !== 'fault' && record.kind !== 'veventq')) return;
          if (queue !== '') closed.set(queue, { seq, nth });
        },
      },
      watcher: {
        effects: NO_EFFECTS,
        before: (record) => {
          queue = record.op === 'close' ? queueBehind(world, record.pid, record.fd) : '';
        },
        after: () => {},
      },
      finish() {
        for (const candidate of candidates) tellThreads(world, report, candidate);
      },
    };
  },
};

/** Context and id of the queue behind a descriptor. */
function queueBehind({ kernel }: LintWorld, pid: number, fd: number): string {
  const { files, processes } = kernel.state;
  const file = files[processes[pid]?.descriptors[fd] ?? 0];
  return file?.kind === 'fault' || file?.kind === 'veventq' ? `${file.context} ${file.object}` : '';
}

function noteDestroy(
  { kernel, lives }: LintWorld,
  call: LintCall,
  closed: ReadonlyMap<string, Closed>,
  candidates: Candidate[],
): void {
  const [context, id] = [contextOf(kernel, call), argU32(call, ID)];
  const close = closed.get(`${context} ${id}`);
  const life = lives.find(context, id);
  if (close === undefined || life === undefined || life.diedSeq !== null) return;
  if (call.nth - close.nth > NEAR_CALLS || close.seq < life.bornSeq) return;
  const name = label(life.type, id);
  candidates.push({ closeSeq: close.seq, destroySeq: call.seq, name, chain: [bornLink(life)] });
}

function tellThreads({ recordAt }: LintWorld, report: Report, candidate: Candidate): void {
  const { closeSeq, destroySeq, name, chain } = candidate;
  const [close, destroy] = [recordAt(closeSeq), recordAt(destroySeq)];
  if (close === null || destroy === null) return;
  const [one, other] = [close.tid ?? close.pid, destroy.tid ?? destroy.pid];
  if (one === other) return;
  report({
    seq: destroySeq,
    message: text(
      `thread ${other} destroys ${name} right after thread ${one} closes its descriptor: nothing`,
      'orders the two',
    ),
    chain: [
      ...chain,
      { seq: closeSeq, role: `thread ${one}`, says: `closes the descriptor of ${name}` },
      { seq: destroySeq, role: `thread ${other}`, says: `destroys ${name}` },
    ],
  });
}
