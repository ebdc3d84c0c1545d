import { attachedLink } from './attachments.ts';
import type { ChainLink } from './finding.ts';
import { findSeq } from './page-seqs.ts';
import type { LintWorld } from './rule.ts';
import { spaceOfTable } from './tables.ts';
import { hex } from './text.ts';

/** What is known of an address that the page table of a device does not translate. */
export function unmappedStory(
  world: LintWorld,
  device: number,
  pasid: number,
  page: number,
): { readonly why: string; readonly chain: readonly ChainLink[] } {
  const { kernel, attachments, areas } = world;
  const bound = kernel.state.vfio.devices[device];
  const held = bound === undefined ? undefined : attachments.find(bound.context, bound.object, pasid);
  if (bound === undefined || held === undefined || held.endSeq !== null)
    return { why: 'and has no page table', chain: held === undefined ? [] : [attachedLink(held)] };
  const space = spaceOfTable(kernel, bound.context, held.hwpt);
  const book = space === undefined ? undefined : areas.of(space);
  const gone = book === undefined ? -1 : findSeq(book.gone, page);
  if (gone >= 0) {
    const unmapped = { seq: gone, role: 'unmapped', says: `takes ${hex(page * 4096)} away` };
    return { why: `which call ${gone} unmapped`, chain: [attachedLink(held), unmapped] };
  }
  return { why: 'which its page table does not translate', chain: [attachedLink(held)] };
}
