import { callName } from '../../../replay/index.ts';
import { explainRefusal, hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';

/** Part of RLIMIT_MEMLOCK from which on it is near, and below which it is far again. */
const NEAR = 0.9;
const FAR = 0.8;
const PAGE_KIB = 4;

export const rlimitNear: Rule = {
  id: 'rlimit-near',
  severity: 'warning',
  title: 'Pinned memory comes near RLIMIT_MEMLOCK, or meets it',
  doc: {
    detects: text(
      `Pages charged to a user or a process beyond ${NEAR * 100} % of its RLIMIT_MEMLOCK (told when`,
      `that is crossed, and again only after it fell below ${FAR * 100} %), and a call that is`,
      'refused with ENOMEM because the limit would be passed. It needs to know the limit: from',
      'records of the process, or from a refusal.',
    ),
    why: text(
      'ENOMEM of a map or an attach does not tell the limit from memory that is really short. The',
      'count is of the user: other processes of the same user fill it too, and BARs of devices count',
      'where they are mapped.',
    ),
    fix: text(
      'Raise RLIMIT_MEMLOCK (`prlimit`, LimitMEMLOCK=, ulimit -l) to the memory of the guest and some',
      'more, or give the process CAP_IPC_LOCK. With several processes of one user, choose RLIMIT_MODE',
      '1 before the first object: then each address space is counted by itself.',
    ),
    falseAlarms: 'A program that is meant to run close to its limit.',
    source: 'pages.c incr_user_locked_vm, update_mm_locked_vm; reference 3.7',
  },
  start(world, report) {
    const near = new Set<string>();
    return {
      effects: {
        rangeMapped() {
          if (world.kernel.state.locked.payers.length > 0) lookAtPayers(world, report, near);
        },
      },
      refused: {
        'locked-memory-of-user': () => tellRefused(world, report),
        'locked-memory-of-process': () => tellRefused(world, report),
        'type1-locked-memory': () => tellRefused(world, report),
      },
    };
  },
};

function lookAtPayers(world: LintWorld, report: Report, near: Set<string>): void {
  const { locked } = world.kernel.state;
  const { payers } = locked;
  for (let at = 0; at < payers.length; at += 1) {
    const payer = payers[at]!;
    if (payer.limitPages === null || payer.pageSets === 0) continue;
    const isUser = payer.mode === 'user';
    const pages = (isUser ? locked.users[payer.uid] : locked.spaces[payer.mm]) ?? 0;
    if (pages < payer.limitPages * FAR && near.size === 0) continue;
    const key = `${payer.mode} ${isUser ? payer.uid : payer.mm} ${payer.limitPages}`;
    if (pages < payer.limitPages * FAR) near.delete(key);
    if (pages < payer.limitPages * NEAR || near.has(key)) continue;
    near.add(key);
    const who = isUser ? `user ${payer.uid}` : `the process with address space ${payer.mm}`;
    const [has, most] = [pages * PAGE_KIB, payer.limitPages * PAGE_KIB];
    report({
      message: text(
        `${who} has ${has} KiB pinned of ${most} KiB that RLIMIT_MEMLOCK allows`,
        `(${percent(pages, payer.limitPages)})`,
      ),
      chain: [hereLink(world, 'mapped', 'the map that crosses the mark')],
    });
  }
}

function percent(part: number, whole: number): string {
  return whole === 0 ? 'none is allowed' : `${Math.floor((part / whole) * 100)} %`;
}

function tellRefused(world: LintWorld, report: Report): void {
  const { call } = world;
  const { texts, links } = explainRefusal(world);
  const name = callName(call.record);
  report({
    severity: 'error',
    message: `${name} is refused by RLIMIT_MEMLOCK: ${listed(texts, 3) || call.reason?.says}`,
    chain: [...links, hereLink(world, 'refused', `${name} asks for more pinned memory than is allowed`)],
  });
}
