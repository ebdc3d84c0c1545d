import type { TenureRow } from '../../../store/index.ts';
import type { ChainLink, Severity } from '../lint/finding.ts';
import type { Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

/** Calls that take PASIDs away with something larger; all others give one back on purpose. */
const TAKES_ALL = /^(close|exit|waitpid|IOMMU_DESTROY)$/;

export const pasidLeak: Rule = {
  id: 'pasid-leak',
  severity: 'warning',
  title: 'A PASID is never given back',
  doc: {
    detects: text(
      'A PASID that is still attached or allocated when its context is released (nobody can free it',
      'any more: an error), that is taken away by a close or the exit of its process (a note), or',
      'that is held when the trace ends.',
    ),
    why: text(
      'The device goes on using the address space behind the PASID. Where PASIDs are shared by the',
      'system there are about a million, and each one that leaks is gone until the next boot.',
    ),
    fix: text(
      'Detach each PASID before its device is closed, and free each one that was allocated; do it on',
      'every way out.',
    ),
    falseAlarms: text(
      'VFIO detaches all PASIDs of a device that is closed, so leaving it to that is a note. A trace',
      'that ends in the middle of the work.',
    ),
    source: 'reference 3.6; iommufd.c of vfio vfio_iommufd_physical_unbind; ioasid.c of 2021',
  },
  start(world, report) {
    world.pasids.onTenure((tenure) => tellTenure(report, tenure));
    return {};
  },
};

function tellTenure(report: Report, tenure: TenureRow): void {
  const { pasid, from_seq, from_call, to_seq, to_call, orphan_seq } = tenure;
  const taken: ChainLink = { seq: from_seq, role: 'taken', says: `${from_call} takes PASID ${pasid}` };
  const tell = (severity: Severity, how: string, end: ChainLink[]): void =>
    report({
      severity,
      seq: from_seq,
      message: `PASID ${pasid}, taken by call ${from_seq}, ${how}`,
      chain: [taken, ...end],
    });
  if (orphan_seq !== null) {
    const says = `its context is released, and nobody can free PASID ${pasid}`;
    tell('error', `was not given back when call ${orphan_seq} released its context`, [
      { seq: orphan_seq, role: 'orphaned', says },
    ]);
  } else if (to_seq === null) tell('warning', 'is still held when the trace ends', []);
  else if (to_call !== null && TAKES_ALL.test(to_call)) {
    tell('note', `was taken away by ${to_call} in call ${to_seq}, not given back`, [
      { seq: to_seq, role: 'taken away', says: `${to_call} takes it away` },
    ]);
  }
}
