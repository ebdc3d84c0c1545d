import { mappedLinks } from '../lint/area-book.ts';
import { askedRange, slotsIn } from '../lint/asked.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { areaSpan, spanOf, text } from '../lint/text.ts';

export const mapOverMapped: Rule = {
  id: 'map-over-mapped',
  severity: 'error',
  title: 'A map hits an area that is still mapped',
  doc: {
    detects: text(
      'A map at a fixed IOVA that is refused with EEXIST, with the areas in the way and who mapped',
      'them.',
    ),
    why: text(
      'An unmap is missing or came too late, or two users of one IOAS share its addresses. The device',
      'goes on reaching the old memory where the program wants the new one.',
    ),
    fix: text(
      'Unmap the old area before its address is used again; give each user of an IOAS addresses of',
      'its own.',
    ),
    falseAlarms: 'A program that tries what the kernel does; the selftests and the random runs do.',
    source: 'io_pagetable.c iopt_alloc_area_pages; vfio_iommu_type1.c vfio_dma_do_map',
  },
  start: (world, report) => ({
    refused: {
      'iova-already-mapped': () => tellOverlap(world, report),
      'type1-already-mapped': () => tellOverlap(world, report),
      'type1v2-overlap': () => tellOverlap(world, report),
    },
  }),
};

function tellOverlap({ kernel, call, areas }: LintWorld, report: Report): void {
  const asked = askedRange(kernel, call);
  if (asked === null) return;
  const range = spanOf(asked.first, asked.length);
  const slots = slotsIn(asked.space, asked.first, asked.length, 4);
  const book = areas.of(asked.space);
  report({
    message:
      `map of ${range} in ${asked.where} is refused: ` +
      `${slots.map((slot) => areaSpan(asked.space, slot)).join(', ')} is still mapped there`,
    chain: [
      ...slots.flatMap((slot) => mappedLinks(book, slot)),
      { seq: call.seq, role: 'mapped again', says: `maps ${range} and is refused` },
    ],
  });
}
