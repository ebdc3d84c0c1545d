import type { Divergence } from '../../../replay/index.ts';
import { callName } from '../../../replay/index.ts';
import { CMD } from '../../uapi/index.ts';
import type { LintCall } from '../lint/lint-call.ts';
import type { Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

const ALLOCS = [
  CMD.IOMMU_IOAS_ALLOC,
  CMD.IOMMU_HWPT_ALLOC,
  CMD.IOMMU_FAULT_QUEUE_ALLOC,
  CMD.IOMMU_VIOMMU_ALLOC,
  CMD.IOMMU_VDEVICE_ALLOC,
  CMD.IOMMU_VEVENTQ_ALLOC,
  CMD.IOMMU_HW_QUEUE_ALLOC,
  CMD.VFIO_DEVICE_BIND_IOMMUFD,
  CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
] as const;
/** A field that answers the id of a new object. */
const ID_FIELD = /^out(_\w+)?_(id|devid)$|^out_devid$/;

interface Failed {
  readonly seq: number;
  readonly name: string;
}

export const idNotReturned: Rule = {
  id: 'id-not-returned',
  severity: 'error',
  title: 'An id did not come back after a call that failed',
  doc: {
    detects: text(
      'A new object with a higher id than the lowest free one, after a call failed that must have',
      'given its id back.',
    ),
    why: text(
      'Ids are the lowest free numbers. One that is skipped is held by an object that nobody can see:',
      'the way back of the failed call has leaked it, together with its references (WARN in',
      'iommufd_object_abort, 53d0584eeb2c).',
    ),
    fix: 'A bug of the kernel: use one with the fix. The context can not be emptied any more; close it.',
    falseAlarms: text(
      'A trace with missing calls: then the id belongs to an object whose creation was not recorded.',
    ),
    source: 'main.c iommufd_object_abort; reference 3.2 and 5, bugs 10 and 11',
  },
  start(_, report) {
    const failed: Failed[] = [];
    const note = (call: LintCall): void => {
      if (call.errno !== 0) failed.push({ seq: call.seq, name: callName(call.record) });
    };
    return {
      after: Object.fromEntries(ALLOCS.map((cmd) => [cmd, note])),
      diverged: (divergence) => lookAt(report, failed, divergence),
    };
  },
};

function lookAt(report: Report, failed: readonly Failed[], divergence: Divergence): void {
  const { seq, call, field, recorded, predicted } = divergence;
  if (!ID_FIELD.test(field) || !(Number(recorded) > Number(predicted))) return;
  const before = failed.findLast((each) => each.seq < seq);
  if (before === undefined) return;
  report({
    seq,
    message: text(
      `${call} answers id ${recorded} where ${predicted} is free: the ${before.name} that failed in`,
      `call ${before.seq} may have kept it`,
    ),
    chain: [
      { seq: before.seq, role: 'failed', says: `${before.name} fails` },
      { seq, role: 'allocated', says: `${call} gets ${recorded}` },
    ],
  });
}
