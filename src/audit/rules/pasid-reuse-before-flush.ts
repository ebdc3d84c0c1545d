import type { TenureRow } from '../../../store/index.ts';
import type { Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const pasidReuseBeforeFlush: Rule = {
  id: 'pasid-reuse-before-flush',
  severity: 'error',
  title: 'A PASID has a new holder before the caches of the old one were flushed',
  doc: {
    detects: text(
      'A PASID that is taken again though nothing has invalidated its caches since its last holder',
      'left it: neither the kernel by rule (as each detach of iommufd does) nor a flush that the',
      'trace shows.',
    ),
    why: text(
      'Translations of the old address space are still in the IOTLB and the device TLB under that',
      'number, and page requests of the old holder may be on their way: DMA of the new holder reaches',
      'the memory of the old one.',
    ),
    fix: text(
      'Flush the PASID on every device that used it, and drain their page requests, before it is',
      'given back to the allocator.',
    ),
    falseAlarms: text(
      'A PASID that no device has used needs no flush; the trace shows no use of it then, and it is',
      'not reported.',
    ),
    source: 'intel_pasid_tear_down_entry; ioasid V4 (2021), reclaim and notifiers; reference 5, bug 29',
  },
  start(world, report) {
    const ends = new Map<number, TenureRow>();
    world.pasids.onTenure((tenure) => tellTenure(report, ends, tenure));
    return {};
  },
};

function tellTenure(report: Report, ends: Map<number, TenureRow>, tenure: TenureRow): void {
  ends.set(tenure.tenure, tenure);
  const { pasid, from_seq, from_call, previous, reuse_flush } = tenure;
  if (previous === null || reuse_flush !== 'none') return;
  const old = ends.get(previous);
  const left = old?.to_seq ?? null;
  report({
    seq: from_seq,
    message: text(
      `PASID ${pasid} is taken again by call ${from_seq}, and nothing has flushed it since`,
      `${left === null ? 'its last holder' : `call ${left}`} let it go`,
    ),
    chain: [
      ...(old === undefined
        ? []
        : [{ seq: old.from_seq, role: 'taken', says: `${old.from_call} takes PASID ${pasid}` }]),
      ...(left === null ? [] : [{ seq: left, role: 'given back', says: `${old?.to_call} gives it back` }]),
      { seq: from_seq, role: 'taken again', says: `${from_call} takes it again` },
    ],
  });
}
