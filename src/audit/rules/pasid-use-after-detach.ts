import { CMD, IOMMU_TEST_CMD, IOMMU_TEST_OP, offsetsOf, unionOffsetsOf } from '../../uapi/index.ts';
import { type Attachment, attachedLink, detachedLinks } from '../lint/attachments.ts';
import { objectOf } from '../lint/holders.ts';
import { argU32, contextOf, type LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

const TEST = offsetsOf(IOMMU_TEST_CMD);
const REPLACE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.PASID_REPLACE);
const CHECK = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.PASID_CHECK_HWPT);
const IOPF = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.TRIGGER_IOPF);
/** IOMMU_NO_PASID, and what a request without a PASID has in TRIGGER_IOPF. */
const NONE = 0;

export const pasidUseAfterDetach: Rule = {
  id: 'pasid-use-after-detach',
  severity: 'error',
  title: 'A PASID is used on a device after it was detached there',
  doc: {
    detects: text(
      'A replace or a check of a PASID that is refused because it is not attached any more, and a',
      'page request that a device makes with a PASID after its detach.',
    ),
    why: text(
      'The device still works with the PASID while its entry is gone: its requests fault, and once',
      'the number has a new holder they reach the new one\u2019s memory.',
    ),
    fix: 'Stop the work of the device that uses the PASID (and wait for it) before the PASID is detached.',
    falseAlarms: text(
      'A page request that was on its way during the detach; the kernel drains those before it',
      'returns.',
    ),
    source: 'reference 5, bugs 14 and 29; device.c iommufd_device_do_replace',
  },
  start: (world, report) => ({
    refused: {
      'replace-not-attached': (call) =>
        lookAt(world, report, call, IOMMU_TEST_OP.PASID_REPLACE, REPLACE.pasid),
      'check-pasid-differs': (call) =>
        lookAt(world, report, call, IOMMU_TEST_OP.PASID_CHECK_HWPT, CHECK.pasid),
    },
    after: { [CMD.IOMMU_TEST_CMD]: (call) => lookAtRequest(world, report, call) },
  }),
};

function lookAt(world: LintWorld, report: Report, call: LintCall, op: number, pasidAt: number): void {
  if (call.cmd !== CMD.IOMMU_TEST_CMD || argU32(call, TEST.op) !== op) return;
  const { kernel, attachments } = world;
  const context = contextOf(kernel, call);
  const object = objectOf(kernel, context, argU32(call, TEST.id));
  if (object?.type !== 'selftest') return;
  tellEnded(world, report, attachments.find(context, object.device, argU32(call, pasidAt)), 'uses');
}

function lookAtRequest(world: LintWorld, report: Report, call: LintCall): void {
  if (argU32(call, TEST.op) !== IOMMU_TEST_OP.TRIGGER_IOPF || call.errno !== 0) return;
  const pasid = argU32(call, IOPF.pasid);
  if (pasid === NONE) return;
  const held = world.attachments.find(contextOf(world.kernel, call), argU32(call, IOPF.dev_id), pasid);
  tellEnded(world, report, held, 'asks for a page with');
}

function tellEnded(world: LintWorld, report: Report, held: Attachment | undefined, how: string): void {
  if (held === undefined || held.endSeq === null) return;
  const { device, pasid, endSeq } = held;
  report({
    message: `device ${device} ${how} PASID ${pasid} after call ${endSeq} detached it`,
    chain: [
      attachedLink(held),
      ...detachedLinks(held),
      hereLink(world, 'used after', `${how} PASID ${pasid}`),
    ],
  });
}
