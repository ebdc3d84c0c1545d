import { cacheName, cacheOwner, entrySpan, isOutOfReach, stepLinks } from '../lint/iotlb-text.ts';
import type { Rule } from '../lint/rule.ts';
import { hex, text } from '../lint/text.ts';

export const iotlbStaleEntry: Rule = {
  id: 'iotlb-stale-entry',
  severity: 'error',
  title: 'A device reaches memory through a translation that is no longer true',
  doc: {
    detects: text(
      'An access of a device (`dma` records, notes of test programs) that meets an entry of an IOTLB',
      'or device TLB which the page tables do not have any more, because nothing has invalidated it',
      'since they changed.',
    ),
    why: text(
      'The access reaches the page that was there before: memory that has been given back and may',
      'have a new owner. This is the worst that an IOMMU can do, and nothing fails.',
    ),
    fix: text(
      'Invalidate between the change of a table and the next use of what was mapped there. The',
      'finding names the invalidation that was missing, and whose it was: the user\u2019s for the',
      'tables of a guest, the kernel\u2019s for its own (reference 5, bugs 27 to 29).',
    ),
    falseAlarms: text(
      'The caches that are followed have no bounds: hardware may have dropped the entry by itself,',
      'and the access was fine by luck.',
    ),
    source: text(
      'intel/cache.c, arm-smmu-v3 tlb_inv paths as replay/hardware/iotlb follows them; reference 5,',
      'bugs 27 and 28',
    ),
  },
  seesCaches: true,
  start(world, report) {
    world.iotlb?.onStep(({ seq, accesses }) => {
      for (const { held, page, access } of accesses) {
        const entry = held.find((each) => each.stale !== null && !isOutOfReach(world, each));
        if (entry === undefined || entry.stale === null) continue;
        const what = access === 'w' ? 'writes to' : 'reads from';
        report({
          seq,
          message: text(
            `${cacheOwner(world, entry)} ${what} ${hex(page * 4096)} through an entry of`,
            `${cacheName(entry)} for ${entrySpan(entry)} that call ${entry.stale.seq} made untrue: a`,
            `walk finds ${entry.stale.now} now, and`,
            `${entry.stale.needed.who === 'user' ? 'user space' : 'the kernel'} has invalidated`,
            'nothing there since',
          ),
          chain: [...stepLinks(entry), { seq, role: 'used after', says: `the device ${what} it` }],
        });
      }
    });
    return {};
  },
};
