import { CMD } from '../../uapi/index.ts';
import { type AskedRange, askedRange, pageOf } from '../lint/asked.ts';
import type { ChainLink } from '../lint/finding.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { findSeq, putSeq } from '../lint/page-seqs.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { spanOf, text } from '../lint/text.ts';

export const unmapNothing: Rule = {
  id: 'unmap-nothing',
  severity: 'warning',
  title: 'An unmap finds nothing to unmap',
  doc: {
    detects: text(
      'An unmap of a range in which no area lies: `IOMMU_IOAS_UNMAP` that is refused with ENOENT, and',
      '`VFIO_IOMMU_UNMAP_DMA` that is refused with ENOENT or succeeds with size 0. The chain has the',
      'map of that address that was refused, or the unmap that took the range away before.',
    ),
    why: text(
      'The books of the program differ from those of the kernel: it believes that a device could',
      'reach the range, or it unmaps twice. The next step is often a range that stays mapped under',
      'another address.',
    ),
    fix: text(
      'Note a range as mapped only once its map has succeeded, and unmap exactly what was noted. Do',
      'not take ENOENT of an unmap for success: it also means that an area reaches out of the range',
      'and is still mapped.',
    ),
    falseAlarms: text(
      'QEMU with iommufd maps the BARs of other devices, ignores that this is refused with EFAULT,',
      'and unmaps them later all the same; and with a virtual IOMMU it unmaps whole windows of an',
      'address space, mapped or not, whenever the guest switches it. It takes ENOENT for success.',
      'Each of these is reported, because it is what the calls say: the range was never mapped, and',
      'peer-to-peer access to it never worked. UNMAP_ALL of an empty IOAS is a way to clear it and is',
      'not reported.',
    ),
    source: 'io_pagetable.c iopt_unmap_iova_range; vfio_compat.c iommufd_vfio_unmap_dma',
  },
  start: (world, report) => ({
    refused: {
      'nothing-mapped': () => tellEmpty(world, report),
      'vfio-unmap-empty-range': () => tellEmpty(world, report),
    },
    after: {
      [CMD.IOMMU_IOAS_MAP]: (call) => noteRefused(world, call),
      [CMD.IOMMU_IOAS_MAP_FILE]: (call) => noteRefused(world, call),
      [CMD.VFIO_IOMMU_MAP_DMA]: (call) => noteRefused(world, call),
      [CMD.VFIO_IOMMU_UNMAP_DMA]: (call) => {
        if (call.errno === 0 && call.unmapped === 0) tellEmpty(world, report);
      },
    },
  }),
};

function noteRefused(world: LintWorld, call: LintCall): void {
  if (call.errno === 0) return;
  const asked = askedRange(world.kernel, call);
  if (asked !== null)
    putSeq(world.areas.open(asked.context, asked.ioas, asked.space).refused, pageOf(asked.first), call.seq);
}

/** UNMAP_ALL, in either API: the program does not claim that anything is there. */
function isEverything({ first, length }: AskedRange): boolean {
  return first === 0n && (length === 0n || length === 0xffff_ffff_ffff_ffffn);
}

function tellEmpty(world: LintWorld, report: Report): void {
  const { kernel, call } = world;
  const asked = askedRange(kernel, call);
  if (asked === null || isEverything(asked)) return;
  const range = spanOf(asked.first, asked.length);
  const here: ChainLink = { seq: call.seq, role: 'unmapped', says: `unmaps ${range} of ${asked.where}` };
  const book = world.areas.open(asked.context, asked.ioas, asked.space);
  const page = pageOf(asked.first);
  const [gone, refused] = [findSeq(book.gone, page), findSeq(book.refused, page)];
  const message = `unmap of ${range} in ${asked.where} finds nothing`;
  if (refused > gone) {
    const says = `asks for a map at ${range.split('-')[0]}, which is refused`;
    report({
      message: `${message}: the map of call ${refused} was refused, so it was never mapped`,
      chain: [{ seq: refused, role: 'refused', says }, here],
    });
    return;
  }
  if (gone >= 0) {
    const says = `unmaps the area at ${range.split('-')[0]}`;
    report({
      message: `${message}: call ${gone} took away what was mapped there`,
      chain: [{ seq: gone, role: 'unmapped first', says }, here],
    });
    return;
  }
  report({ message: `${message}: no area ever began there`, chain: [here] });
}
