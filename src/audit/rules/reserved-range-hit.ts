import { callName } from '../../../replay/index.ts';
import { askedRange } from '../lint/asked.ts';
import { attachedLink } from '../lint/attachments.ts';
import type { ChainLink } from '../lint/finding.ts';
import { contextOf } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import { explainRefusal, hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { address, listed, spanOf, text } from '../lint/text.ts';

export const reservedRangeHit: Rule = {
  id: 'reserved-range-hit',
  severity: 'warning',
  title: 'A map or an allowed range hits a reserved range',
  doc: {
    detects: text(
      'A map at a fixed IOVA that is refused because it meets a range that a device reserves (its MSI',
      'window, a direct mapping) or that no page table of the IOAS can translate, and',
      'IOMMU_IOAS_ALLOW_IOVAS that is refused with EADDRINUSE. The chain has the attach that brought',
      'the reserved range.',
    ),
    why: text(
      'Memory of the guest at that address is out of reach for the device: its DMA there faults, or',
      'is taken for an interrupt.',
    ),
    fix: text(
      'Ask IOMMU_IOAS_IOVA_RANGES after each attach, and keep the guest\u2019s memory map out of what',
      'it does not list.',
    ),
    falseAlarms: text(
      'A program that tries what the kernel does. A VMM that ignores the failure for a range that no',
      'guest will use for DMA.',
    ),
    source: text(
      'io_pagetable.c iopt_check_iova, iopt_set_allow_iova; vfio_iommu_type1.c',
      'vfio_iommu_iova_dma_valid',
    ),
  },
  start: (world, report) => ({
    refused: {
      'iova-in-reserved-range': () => tellReserved(world, report),
      'allowed-range-reserved': () => tellReserved(world, report),
      'type1-iova-not-usable': () => tellReserved(world, report),
      'type1v2-not-permitted-range': () => tellReserved(world, report),
    },
  }),
};

function tellReserved(world: LintWorld, report: Report): void {
  const { kernel, call } = world;
  const name = callName(call.record);
  const asked = askedRange(kernel, call);
  const range = asked === null ? '' : ` of ${spanOf(asked.first, asked.length)} in ${asked.where}`;
  const { texts, passes } = explainRefusal(world);
  const why = listed(texts, 3) || call.reason?.says || '';
  report({
    message: `${name}${range} is refused: ${why}`,
    chain: [
      ...(asked === null ? [] : ownersOf(world, asked.ioas, asked.first, asked.length)),
      hereLink(world, 'mapped', `${name}${range} is refused`),
    ],
    ...(passes === null ? {} : { fix: `It passes ${passes}. ${reservedRangeHit.doc.fix}` }),
  });
}

/** The calls that made the reserved ranges there. */
function ownersOf(world: LintWorld, id: number, first: bigint, length: bigint): ChainLink[] {
  const { kernel, call, lives, attachments } = world;
  const context = contextOf(kernel, call);
  const ioas = kernel.state.contexts[context]?.objects[id];
  if (ioas?.type !== 'ioas') return [];
  const last = first + length - 1n;
  return ioas.reserved
    .filter(
      (range) =>
        address(range.startPage, range.startOffset) <= last &&
        address(range.lastPage, range.lastOffset) >= first,
    )
    .flatMap(({ owner }) => {
      const [type, number] = owner.split(':');
      if (type === 'device') {
        const attachment = attachments.find(context, Number(number), 0);
        return attachment === undefined ? [] : [attachedLink(attachment)];
      }
      const life = number === undefined ? undefined : lives.find(context, Number(number));
      return life === undefined ? [] : [bornLink(life)];
    });
}
