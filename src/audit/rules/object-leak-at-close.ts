import { boundLinks } from '../lint/bound.ts';
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
    const orphans = new Set<number>();
    let gone: Life[] = [];
    let goneAt = -1;
    return {
      ops: { close: (closing) => tellOrphan(world, report, closing, orphans) },
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

/** The context of /dev/iommu has no descriptor left and lives on. */
function tellOrphan(world: LintWorld, report: Report, { record }: LintCall, orphans: Set<number>): void {
  if (record.op !== 'close' || record.kind !== 'iommufd') return;
  const { kernel, lives } = world;
  const files = Object.values(kernel.state.files);
  for (const context of Object.values(kernel.state.contexts)) {
    const isReachable = files.some((file) => file.kind === 'iommufd' && file.context === context.id);
    if (isReachable || orphans.has(context.id)) continue;
    orphans.add(context.id);
    const holders = lives.living(context.id).filter(({ type }) => HOLDERS.has(type));
    const links = holders.flatMap((life): ChainLink[] =>
      life.type === 'device' ? boundLinks(world, context.id, life.id) : [bornLink(life)],
    );
    const names = holders.map(({ type, id }) => label(type, id));
    report({
      severity: 'warning',
      message: `closing /dev/iommu releases nothing: ${listed(names)} keep ${count(lives.living(context.id).length, 'object')} alive`,
      chain: [...links, hereLink(world, 'closed', 'closes the last descriptor of the context')],
    });
  }
}

/** Objects with a descriptor of their own, which holds the context. */
const HOLDERS: ReadonlySet<string> = new Set(['device', 'fault', 'veventq', 'access']);
