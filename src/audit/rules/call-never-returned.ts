import { callName } from '../../../replay/index.ts';
import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

/** Calls without an answer that are kept: a trace with more was stripped of its answers. */
const MOST = 16;

interface Hanging {
  readonly seq: number;
  readonly pid: number;
  readonly name: string;
}

export const callNeverReturned: Rule = {
  id: 'call-never-returned',
  severity: 'warning',
  title: 'A call has no answer in a trace whose other calls have one',
  doc: {
    detects: `An ioctl without a recorded answer, where nearly all others (all but ${MOST}) have one.`,
    why: text(
      'The call hangs in the kernel: a lock that an error path has kept (bugs 19 and 21), or',
      'IOMMU_DESTROY that waits for a user that never goes. Or the process was killed in the middle',
      'of it.',
    ),
    fix: text(
      'Look at the stack of the thread (/proc/PID/task/TID/stack). The calls before it on the same',
      'group or IOAS show which error path kept the lock.',
    ),
    falseAlarms: 'A process that was killed, and a recorder that was stopped, end with such a call.',
    source: 'reference 5, bugs 19 and 21 (4ac2ce123824, 339bd1159159)',
  },
  start(world, report) {
    const hanging: Hanging[] = [];
    let unanswered = 0;
    let answered = 0;
    return {
      ops: {
        ioctl({ record, seq, pid }) {
          if (record.op !== 'ioctl') return;
          if (record.replied) {
            answered += 1;
            return;
          }
          unanswered += 1;
          if (unanswered <= MOST) hanging.push({ seq, pid, name: callName(record) });
        },
      },
      finish() {
        if (unanswered > MOST || answered === 0) return;
        for (const { seq, pid, name } of hanging) {
          report({
            seq,
            message: `${name} of process ${pid} has no answer; the trace goes on to call ${world.call.seq}`,
            chain: [{ seq, role: 'called', says: `${name} does not return` }],
          });
        }
      },
    };
  },
};
