import type { ChainLink } from '../lint/finding.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { bornLink, type Life } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { count, label, listed, text } from '../lint/text.ts';

/** Calls whose object is the program's to destroy; automatic page tables and devices are not. */
const MADE_BY_USER = /^IOMMU_(IOAS|HWPT|FAULT_QUEUE|VIOMMU|VDEVICE|VEVENTQ|HW_QUEUE)_ALLOC$/;

export const objectLeakAtClose: Rule = {
  id: 'object-leak-at-close',
  severity: 'note',
  title: 'Objects are left when /dev/iommu is closed',
  doc: {
    detects: text(
      'An object that its program allocated and did not destroy before it closed the last descriptor',
      'of the context: a note for each, at the call that made it. A close that releases nothing,',
      'because devices are bound or descriptors of queues open, is a warning: everything lives on,',
      'and no call can reach it any more.',
    ),
    why: text(
      'What the kernel takes away at the close does no harm then; before that it held memory and ids.',
      'What a close leaves alive keeps its attachments and pinned memory, and devices go on with',
      'their DMA, until the last descriptor of a device or queue is closed.',
    ),
    fix: 'Destroy what was allocated, in reverse order. Close devices and queues before /dev/iommu.',
    falseAlarms: text(
      'The kernel takes away what is left, so a program may leave it to that; the selftests do.',
      'Closing /dev/iommu first is allowed, and a program that closes its devices right after it is',
      'correct.',
    ),
    source: 'main.c iommufd_fops_release; vfio_main.c; reference 3.3',
  },
  start(world, report) {
    const { call, lives } = world;
    const orphans = new Map<number, Orphan>();
    let gone: Life[] = [];
    let goneAt = -1;
    return {
      ops: { close: (closing) => noteOrphans(world, closing, orphans) },
      finish() {
        for (const orphan of orphans.values()) tellOrphan(world, report, orphan);
      },
      effects: {
        objectDestroyed(context, _, id) {
          if (call.record.op !== 'close' || call.isOver) return;
          if (goneAt !== call.seq) gone = [];
          goneAt = call.seq;
          const life = lives.find(context, id);
          if (life !== undefined && MADE_BY_USER.test(life.bornBy)) gone.push(life);
        },
        contextReleased() {
          if (call.record.op !== 'close' || call.isOver || goneAt !== call.seq) return;
          for (const life of gone) tellLeft(world, report, life);
          gone = [];
        },
      },
    };
  },
};

function tellLeft(world: LintWorld, report: Report, life: Life): void {
  const name = label(life.type, life.id);
  report({
    seq: life.bornSeq,
    message: `${name} is left to the kernel: it still lives when call ${world.call.seq} closes the context`,
    chain: [bornLink(life), hereLink(world, 'closed', `the close takes ${name} away`)],
  });
}

/** A context of which /dev/iommu was closed and that something kept alive: who did, at that time. */
interface Orphan {
  readonly context: number;
  readonly seq: number;
  readonly names: readonly string[];
  readonly links: readonly ChainLink[];
}

/** Contexts that have no descriptor left after a close, and live on. */
function noteOrphans(
  { kernel, lives }: LintWorld,
  { record, seq }: LintCall,
  orphans: Map<number, Orphan>,
): void {
  if (record.op !== 'close' || record.kind !== 'iommufd') return;
  const files = Object.values(kernel.state.files);
  for (const { id: context } of Object.values(kernel.state.contexts)) {
    const isReachable = files.some((file) => file.kind === 'iommufd' && file.context === context);
    if (isReachable || orphans.has(context)) continue;
    const holders = lives.living(context).filter(({ type }) => HOLDERS.has(type));
    orphans.set(context, {
      context,
      seq,
      names: holders.map(({ type, id }) => label(type, id)),
      links: holders.map(bornLink),
    });
  }
}

function tellOrphan({ kernel, lives }: LintWorld, report: Report, orphan: Orphan): void {
  const { context, seq, names, links } = orphan;
  // Devices that are closed right after /dev/iommu release it, and all is well.
  if (kernel.state.contexts[context] === undefined) return;
  const left = count(lives.living(context).length, 'object');
  report({
    seq,
    severity: 'warning',
    message: text(
      `closing /dev/iommu released nothing, and nothing ever did: ${listed(names)} kept it, ${left}`,
      'still live',
    ),
    chain: [...links, { seq, role: 'closed', says: 'closes the last descriptor of the context' }],
  });
}

/** Objects with a descriptor of their own, which holds the context. */
const HOLDERS: ReadonlySet<string> = new Set(['device', 'fault', 'veventq', 'access']);
