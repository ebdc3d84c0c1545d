import { functionName } from '../lint/bound.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { hex, text } from '../lint/text.ts';
import { unmappedStory } from '../lint/unmapped-story.ts';

export const invalidationLost: Rule = {
  id: 'invalidation-lost',
  severity: 'error',
  title: 'A device was seen to reach memory that the kernel had taken away from it',
  doc: {
    detects: text(
      'A `dma` record whose `result` says that the access was let through (`hit`, `miss`), where',
      'neither a walk of the tables that the calls made nor any entry that the kernel may have left',
      'in a cache lets it through.',
    ),
    why: text(
      'The hardware has a translation that the kernel should have invalidated: the device reads or',
      'writes a page that may have a new owner. VT-d forgot what was nested on a parent page table',
      '(821985301124, 5e54e861f16f, 6.8), and flushed a wrong range for all but the first of several',
      'cache tags (3846e469c1ba).',
    ),
    fix: text(
      'A bug of the kernel, or of the emulated IOMMU: use one with the fixes. Until then detach the',
      'devices that are nested on the parent before its memory is unmapped. `ioasis iotlb --steps`',
      'shows which invalidations the calls should have caused.',
    ),
    falseAlarms: text(
      'A recorder that takes the order of accesses and calls wrong by a little: an access that came',
      'before the unmap.',
    ),
    source: 'intel/cache.c cache_tag_flush_range, intel/nested.c; reference 5, bugs 27 and 28',
  },
  seesCaches: true,
  start(world, report) {
    world.iotlb?.onStep(({ seq, accesses }) => {
      const { record } = world.call;
      if (record.op !== 'dma' || record.seq !== seq) return;
      if (record.result !== 'hit' && record.result !== 'miss') return;
      const refused = accesses.find(({ outcome }) => outcome === 'fault');
      if (refused !== undefined) tell(world, report, refused, record.result);
    });
    return {};
  },
};

interface Refused {
  readonly device: number;
  readonly pasid: number;
  readonly page: number;
  readonly access: string;
}

function tell(
  world: LintWorld,
  report: Report,
  { device, pasid, page, access }: Refused,
  result: 'hit' | 'miss',
): void {
  const { seq } = world.call;
  const { why, chain } = unmappedStory(world, device, pasid, page);
  const who = pasid === 0 ? functionName(world, device) : `${functionName(world, device)} (PASID ${pasid})`;
  const verb = access === 'w' ? 'wrote to' : 'read from';
  const how =
    result === 'hit'
      ? 'a cached translation let it through, which the kernel should have invalidated'
      : 'a walk let it through, so that the tables are not what the calls made them';
  report({
    message: `${who} ${verb} ${hex(page * 4096)}, ${why}: ${how}`,
    chain: [...chain, { seq, role: 'used after', says: `${verb} ${hex(page * 4096)} (${result})` }],
  });
}
