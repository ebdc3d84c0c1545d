import { CMD, IOMMU_TEST_OP } from '../../uapi/index.ts';
import type { ChainLink } from '../lint/finding.ts';
import { objectOf } from '../lint/holders.ts';
import { argU32, type LintCall } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';
import { readVevents } from '../lint/vevents.ts';

/** Offset of the operation in struct iommu_test_cmd. */
const OP = 4;

export const veventLost: Rule = {
  id: 'vevent-lost',
  severity: 'warning',
  title: 'Events of a vIOMMU were lost',
  doc: {
    detects: text(
      'A vEVENTQ that ran full, so that the kernel dropped events: seen when it happens where the',
      'model raises the events, and in a header with LOST_EVENTS that a read returned.',
    ),
    why: text(
      'The guest\u2019s driver waits for an event that never comes: a fault that is not reported',
      'looks like a device that hangs.',
    ),
    fix: text(
      'Read the queue whenever poll says so, in a thread of its own; allocate it deeper',
      '(veventq_depth). After LOST_EVENTS tell the guest that its event queue overflowed.',
    ),
    falseAlarms: 'A guest that makes faults in a loop fills any queue.',
    source: 'eventq.c iommufd_viommu_report_event, iommufd_veventq_fops_read; reference 2.15',
  },
  start(world, report) {
    const told = new Set<string>();
    return {
      after: {
        [CMD.IOMMU_TEST_CMD]: (call) => {
          if (argU32(call, OP) === IOMMU_TEST_OP.TRIGGER_VEVENT) tellFull(world, report, told);
        },
      },
      ops: { read: (call) => tellRead(world, report, call, told) },
    };
  },
};

/** The queues that have just begun to drop events. */
function tellFull(world: LintWorld, report: Report, told: Set<string>): void {
  const { kernel, lives } = world;
  for (const context of Object.values(kernel.state.contexts)) {
    for (const object of Object.values(context.objects)) {
      if (object.type !== 'veventq' || object.events.at(-1)?.data !== null) continue;
      const key = `${context.id} ${object.id}`;
      if (object.events.length === 0 || told.has(key)) continue;
      told.add(key);
      const life = lives.find(context.id, object.id);
      report({
        message: text(
          `${label('veventq', object.id)} is full with ${object.depth} events unread, and drops the`,
          'next ones',
        ),
        chain: [
          ...(life === undefined ? [] : [bornLink(life)]),
          hereLink(world, 'dropped', 'an event is lost'),
        ],
      });
    }
  }
}

function tellRead(world: LintWorld, report: Report, { record, seq }: LintCall, told: Set<string>): void {
  if (record.op !== 'read' || record.kind !== 'veventq' || !(record.out instanceof Uint8Array)) return;
  const { kernel, lives } = world;
  const file = kernel.state.files[kernel.state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  if (file?.kind !== 'veventq') return;
  const key = `${file.context} ${file.object}`;
  // Once it is read, the next overflow is another one.
  if (told.delete(key)) return;
  const queue = objectOf(kernel, file.context, file.object);
  const lost = queue?.type === 'veventq' ? readVevents(record.out, queue.eventType)?.lost : null;
  if (lost == null) return;
  const life = lives.find(file.context, file.object);
  const chain: ChainLink[] = life === undefined ? [] : [bornLink(life)];
  report({
    message: `${label('veventq', file.object)} lost events: the last one that was dropped has number ${lost}`,
    chain: [...chain, { seq, role: 'read', says: 'a header with LOST_EVENTS' }],
  });
}
