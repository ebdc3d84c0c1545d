import { callName } from '../../../replay/index.ts';
import { CMD } from '../../uapi/index.ts';
import { askedRange } from '../lint/asked.ts';
import { attachedLink } from '../lint/attachments.ts';
import { boundDeviceOf } from '../lint/bound.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

/** Commands whose new descriptor a failing answer takes back, which raced with the release of its object. */
const EVENT_QUEUES: ReadonlySet<number> = new Set([CMD.IOMMU_FAULT_QUEUE_ALLOC, CMD.IOMMU_VEVENTQ_ALLOC]);
const MAPS: ReadonlySet<number> = new Set([CMD.IOMMU_IOAS_MAP, CMD.IOMMU_IOAS_MAP_FILE, CMD.IOMMU_IOAS_COPY]);

export const answerLost: Rule = {
  id: 'answer-lost',
  severity: 'error',
  title: 'A call did its work and could not write its answer',
  doc: {
    detects: text(
      'EFAULT of a call whose work stays done: a map or copy whose area stays mapped at an address',
      'that the caller never learns, an ATTACH after which the device is detached; and EFAULT of',
      'allocating a fault queue or vEVENTQ, whose way back was racy before 6.17.',
    ),
    why: text(
      'The caller takes the call for undone. Its area stays mapped and pinned until the IOAS goes;',
      'its device has lost its page table, also when only a PASID was to be attached.',
    ),
    fix: text(
      'Pass structs in writable memory. After EFAULT of a map without FIXED_IOVA, take the IOAS for',
      'lost: unmap all of it. After EFAULT of ATTACH, attach again.',
    ),
    falseAlarms: 'None are known: a struct that can be read and not written is a mistake of the caller.',
    source: text(
      'ioas.c iommufd_ioas_map; iommufd.c of vfio vfio_df_ioctl_attach_pt; reference 5, bug 9;',
      'surprises 10 and 13',
    ),
  },
  start(world, report) {
    let wasAttached = false;
    return {
      before: {
        [CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT]: () => {
          const bound = boundDeviceOf(world);
          wasAttached = bound !== null && world.attachments.of(bound.context, bound.object).length > 0;
        },
      },
      refused: {
        'user-buffer-fault': (call) => lookAt(world, report, call, wasAttached),
        'vfio-struct-unreadable': (call) => lookAt(world, report, call, wasAttached),
      },
      after: Object.fromEntries(
        [...MAPS].map((cmd) => [cmd, (call: LintCall) => lookAtMap(world, report, call)]),
      ),
    };
  },
};

function lookAtMap(world: LintWorld, report: Report, call: LintCall): void {
  if (call.errno === 0 || call.mapped <= call.unmapped) return;
  const asked = askedRange(world.kernel, call);
  const name = callName(call.record);
  report({
    message: text(
      `${name} failed, and its area stays mapped in ${asked?.where ?? 'the IOAS'}: only the answer`,
      'was refused',
    ),
    chain: [hereLink(world, 'mapped', `${name} maps, and can not write its answer`)],
  });
}

function lookAt(world: LintWorld, report: Report, call: LintCall, wasAttached: boolean): void {
  const name = callName(call.record);
  if (EVENT_QUEUES.has(call.cmd)) {
    report({
      severity: 'warning',
      message: text(
        `${name} could not write its answer: the way back frees object and descriptor, which raced`,
        'before 6.17',
      ),
      chain: [hereLink(world, 'allocated', `${name} is taken back`)],
    });
    return;
  }
  if (call.cmd !== CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT) return;
  const bound = boundDeviceOf(world);
  if (bound === null || !wasAttached) return;
  const held = world.attachments.find(bound.context, bound.object, 0);
  if (held === undefined || held.endSeq !== call.seq) return;
  report({
    message: `${name} could not write its answer, and detached device ${bound.object} for it`,
    chain: [attachedLink(held), hereLink(world, 'detached', `${name} fails and takes the device off`)],
  });
}
