import { CMD } from '../../uapi/index.ts';
import { mappedLinks } from '../lint/area-book.ts';
import { askedRange, slotsIn } from '../lint/asked.ts';
import type { LintCall } from '../lint/lint-call.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { areaSpan, count, spanOf, text } from '../lint/text.ts';

export const unmapPartialSurprise: Rule = {
  id: 'unmap-partial-surprise',
  severity: 'error',
  title: 'An unmap failed after it had unmapped something',
  doc: {
    detects: text(
      'An unmap that is refused although areas of the range are gone: the kernel goes through the',
      'areas from the lowest address on, and stops at the first that reaches out of the range or is',
      'locked.',
    ),
    why: text(
      'The error looks as if nothing had happened, and the struct does not say how much was unmapped',
      '(of iommufd; VFIO writes the size). The program believes that the device still reaches the',
      'areas that are gone, and its DMA faults.',
    ),
    fix: text(
      'Unmap the ranges that were mapped, one by one. After an error, take every area of the range',
      'for unknown: unmap each by its own range again, and ignore ENOENT.',
    ),
    falseAlarms: 'None are known: the areas are gone, and the caller was told of a failure.',
    source: 'io_pagetable.c iopt_unmap_iova_range',
  },
  start: (world, report) => {
    const look = (call: LintCall): void => {
      if (call.errno !== 0 && call.unmapped > call.mapped) tellGone(world, report);
    };
    return { after: { [CMD.IOMMU_IOAS_UNMAP]: look, [CMD.VFIO_IOMMU_UNMAP_DMA]: look } };
  },
};

function tellGone({ kernel, call, areas }: LintWorld, report: Report): void {
  const asked = askedRange(kernel, call);
  if (asked === null) return;
  const range = spanOf(asked.first, asked.length);
  const left = slotsIn(asked.space, asked.first, asked.length, 1)[0];
  const stopped = left === undefined ? '' : `, and stopped at ${areaSpan(asked.space, left)}`;
  const gone = count(call.unmapped - call.mapped, 'area');
  report({
    message: `unmap of ${range} in ${asked.where} failed, yet ${gone} of it went${stopped}`,
    chain: [
      ...(left === undefined ? [] : mappedLinks(areas.of(asked.space), left)),
      { seq: call.seq, role: 'unmapped', says: `unmaps ${range} in part and is refused` },
    ],
  });
}
