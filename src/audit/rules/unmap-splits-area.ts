import { mappedLinks } from '../lint/area-book.ts';
import { askedRange, slotsIn } from '../lint/asked.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { areaSpan, spanOf, text } from '../lint/text.ts';

export const unmapSplitsArea: Rule = {
  id: 'unmap-splits-area',
  severity: 'warning',
  title: 'An unmap asks for a part of an area',
  doc: {
    detects: text(
      'An unmap that is refused because an area reaches out of the range, and that unmapped nothing.',
      '(When it did unmap something before, that is `unmap-partial-surprise`.)',
    ),
    why: text(
      'iommufd never splits an area, other than a type1 container of version 1. The range stays',
      'mapped: the device goes on reaching memory that the program takes for its own again.',
    ),
    fix: 'Unmap with the ranges that were mapped, or map in the pieces that will be unmapped.',
    falseAlarms: 'A program that tries what the kernel does; the selftests do.',
    source: 'io_pagetable.c iopt_unmap_iova_range; vfio_iommu_type1.c vfio_dma_do_unmap',
  },
  start: (world, report) => ({
    refused: {
      'area-not-contained': () => tellCut(world, report),
      'type1v2-unmap-cuts': () => tellCut(world, report),
      'type1-bisects-mapping': () => tellCut(world, report),
    },
  }),
};

function tellCut({ kernel, call, areas }: LintWorld, report: Report): void {
  const asked = askedRange(kernel, call);
  if (asked === null || call.unmapped > 0) return;
  const range = spanOf(asked.first, asked.length);
  const slot = slotsIn(asked.space, asked.first, asked.length, 1)[0];
  if (slot === undefined) return;
  const area = areaSpan(asked.space, slot);
  report({
    message: `unmap of ${range} in ${asked.where} would cut the area ${area}, which stays mapped`,
    chain: [
      ...mappedLinks(areas.of(asked.space), slot),
      { seq: call.seq, role: 'unmapped', says: `unmaps ${range} and is refused` },
    ],
  });
}
