import { callName } from '../../../replay/index.ts';
import { CMD } from '../../uapi/index.ts';
import { explainRefusal, hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';

/** Commands that are told at once when their own memory is bad. */
const MAPS: ReadonlySet<number> = new Set([
  CMD.IOMMU_IOAS_MAP,
  CMD.IOMMU_IOAS_MAP_FILE,
  CMD.IOMMU_IOAS_COPY,
  CMD.VFIO_IOMMU_MAP_DMA,
]);

export const mapBeforeAttachBadVa: Rule = {
  id: 'map-before-attach-bad-va',
  severity: 'error',
  title: 'Memory was mapped unchecked, and an attach fails for it later',
  doc: {
    detects: text(
      'An attach, a new page table, or an access that is refused (EFAULT, EINVAL, ENOMEM) because an',
      'area that was mapped before holds memory that can not be pinned: not mapped in the process,',
      'read-only and mapped WRITEABLE, memory of a device, a file that is none of memory.',
    ),
    why: text(
      'While an IOAS has no page table, IOMMU_IOAS_MAP pins and checks nothing: a bad address is a',
      'success. The error comes with the first attach, which names no address, and every attach fails',
      'until the area is unmapped.',
    ),
    fix: text(
      'Attach a device before the first map, so that each map is checked by itself; or check the',
      'memory before it is mapped (no BARs, no gaps, writable when WRITEABLE is asked for).',
    ),
    falseAlarms: 'None are known: the attach failed, and the area that is named is why.',
    source: 'pages.c iopt_area_fill_domains; io_pagetable.c iopt_table_add_domain; reference 2.5 and 2.17',
  },
  start: (world, report) => ({
    refused: {
      'user-memory-not-pinnable': () => tellBad(world, report),
      'file-not-pinnable': () => tellBad(world, report),
      'map-without-permission': () => tellBad(world, report),
      'nest-parent-read-only': () => tellBad(world, report),
    },
  }),
};

function tellBad(world: LintWorld, report: Report): void {
  const { call } = world;
  if (MAPS.has(call.cmd)) return;
  const { texts, links } = explainRefusal(world);
  if (links.length === 0) return;
  const name = callName(call.record);
  report({
    message: `${name} fails for memory that was mapped unchecked: ${listed(texts, 3)}`,
    chain: [...links, hereLink(world, 'attached', `${name} is refused: ${call.reason?.says ?? ''}`)],
  });
}
