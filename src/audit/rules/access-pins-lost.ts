import { CMD, IOMMU_TEST_CMD, IOMMU_TEST_OP as OP, offsetsOf, unionOffsetsOf } from '../../uapi/index.ts';
import type { ChainLink } from '../lint/finding.ts';
import { argU32, type LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

const TEST = offsetsOf(IOMMU_TEST_CMD);
const UNPIN = unionOffsetsOf(IOMMU_TEST_CMD, OP.DESTROY_ACCESS_PAGES);
const ENOENT = 2;

/** An access object that was moved from one IOAS to another, and what came after. */
interface Moved {
  readonly context: number;
  /** IOASes that it was on before, with the call that moved it away. */
  readonly from: Map<number, number>;
  /** Calls that made its pins, by the id of the pin. */
  readonly pins: Map<number, number>;
}

export const accessPinsLost: Rule = {
  id: 'access-pins-lost',
  severity: 'error',
  title: 'An unmap of an IOAS took the pins of an access object that had moved to another',
  doc: {
    detects: text(
      'On an access object that ACCESS_REPLACE_IOAS has moved: pins that the kernel does not know any',
      'more (ENOENT), which were made on the new IOAS and never given up, after an unmap of the IOAS',
      'that it was on before.',
    ),
    why: text(
      'The unmap told an access object that had left: it stood on the list of its old IOAS still, or',
      'its place on the new one was written over. Its pages are unpinned while somebody uses them.',
    ),
    fix: text(
      'A bug of the kernel: use one with the fixes of CVE-2024-26785 and CVE-2024-26786 (6.8). In the',
      'program, unmap the old IOAS before the access object leaves it.',
    ),
    falseAlarms: 'None are known: which pins there are follows from the calls alone.',
    source: 'device.c iommufd_access_change_ioas, iommufd_access_notify_unmap; reference 5, bug 18',
  },
  start(world, report) {
    const moved = new Map<string, Moved>();
    const unmapped = new Map<string, number>();
    let leaves = 0;
    return {
      before: {
        [CMD.IOMMU_TEST_CMD]: (call) => {
          leaves = argU32(call, TEST.op) === OP.ACCESS_REPLACE_IOAS ? (accessAt(world)?.ioas ?? 0) : 0;
        },
      },
      after: {
        [CMD.IOMMU_TEST_CMD]: (call) => {
          const access = accessAt(world);
          if (access === null) return;
          const op = argU32(call, TEST.op);
          if (op === OP.ACCESS_REPLACE_IOAS) noteMove(moved, call, access, leaves);
          const own = moved.get(access.key);
          if (own === undefined || call.errno !== 0) return;
          if (op === OP.ACCESS_PAGES) own.pins.set(access.lastPin, call.seq);
          if (op === OP.DESTROY_ACCESS_PAGES) lookAtUnpin(world, report, own, access, unmapped);
        },
      },
      effects: {
        rangeUnmapped(context, ioas) {
          if (moved.size > 0) unmapped.set(`${context} ${ioas}`, world.call.seq);
        },
      },
    };
  },
};

interface AccessNow {
  readonly key: string;
  readonly context: number;
  readonly id: number;
  readonly ioas: number;
  /** Id of the newest pin; -1 without any. */
  readonly lastPin: number;
}

/** The access object whose descriptor the operation names as its id. */
function accessAt({ kernel, call }: LintWorld): AccessNow | null {
  const { files, processes, contexts } = kernel.state;
  const file = files[processes[call.pid]?.descriptors[argU32(call, TEST.id)] ?? 0];
  if (file === undefined || file.kind !== 'access') return null;
  const { context, object: id } = file;
  const access = contexts[context]?.objects[id];
  if (access?.type !== 'access') return null;
  const { ioas, items } = access;
  return { key: `${context} ${id}`, context, id, ioas, lastPin: items.at(-1)?.id ?? -1 };
}

function noteMove(moved: Map<string, Moved>, call: LintCall, access: AccessNow, from: number): void {
  if (call.errno !== 0 || from === 0 || from === access.ioas) return;
  const own = moved.get(access.key) ?? { context: access.context, from: new Map(), pins: new Map() };
  own.from.set(from, call.seq);
  own.from.delete(access.ioas);
  // What was pinned on the old one went with it.
  own.pins.clear();
  moved.set(access.key, own);
}

function lookAtUnpin(
  world: LintWorld,
  report: Report,
  { context, from, pins }: Moved,
  access: AccessNow,
  unmapped: ReadonlyMap<string, number>,
): void {
  const { call } = world;
  const { record } = call;
  if (record.op !== 'ioctl' || !record.replied || record.errno !== ENOENT) return;
  const pin = argU32(call, UNPIN.access_pages_id);
  const pinnedSeq = pins.get(pin) ?? Number.POSITIVE_INFINITY;
  for (const [ioas, movedSeq] of from) {
    const unmappedSeq = unmapped.get(`${context} ${ioas}`) ?? -1;
    if (unmappedSeq < pinnedSeq) continue;
    const [old, now] = [label('ioas', ioas), label('ioas', access.ioas)];
    const chain: ChainLink[] = [
      { seq: movedSeq, role: 'moved', says: `moves the access object from ${old} to ${now}` },
      { seq: pinnedSeq, role: 'pinned', says: `pins pages of ${now} as ${pin}` },
      { seq: unmappedSeq, role: 'unmapped', says: `unmaps in ${old}` },
      hereLink(world, 'used after', `pin ${pin} is not known any more`),
    ];
    report({
      message: text(
        `pin ${pin} of the access object on ${now} is gone since call ${unmappedSeq} unmapped in ${old},`,
        `which it left in call ${movedSeq}`,
      ),
      chain,
    });
    return;
  }
}
