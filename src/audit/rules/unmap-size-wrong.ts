import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const unmapSizeWrong: Rule = {
  id: 'unmap-size-wrong',
  severity: 'error',
  title: 'An unmap reports another size than it unmapped',
  doc: {
    detects: text(
      'An unmap whose recorded length is not the sum of the areas that it took away, also where it',
      'failed half way.',
    ),
    why: text(
      'A program that trusts the size keeps a stale mapping in its books, or misses one:',
      'VFIO_IOMMU_UNMAP_DMA that failed half way reported 0 bytes before 6.12.43.',
    ),
    fix: text(
      'Use a kernel with the fix ("Report unmapped bytes in the error path"). After an error, unmap',
      'each area by its own range.',
    ),
    falseAlarms: 'A trace that lacks a map or unmap.',
    source: 'io_pagetable.c iopt_unmap_iova_range; vfio_compat.c iommufd_vfio_unmap_dma; reference 5, bug 24',
  },
  start: (_, report) => ({
    diverged({ seq, call, field, recorded, predicted }) {
      if (!/UNMAP/.test(call) || (field !== 'length' && field !== 'size')) return;
      report({
        seq,
        message: `${call} reports ${recorded} bytes, and the areas that went have ${predicted}`,
        chain: [{ seq, role: 'unmapped', says: `reports ${recorded}` }],
      });
    },
  }),
};
