import type { NotedMemory } from '../smmu-guest-memory.ts';
import { type LiveDomain, pageIdentity } from './live-domain.ts';

/**
 * Eight bytes at a guest's address, as a nest parent maps it now: `unmapped` where it does not, null where
 * the trace does not hold them all.
 */
export function readGuestNow(
  parent: LiveDomain,
  noted: NotedMemory,
  ipa: bigint,
): bigint | 'unmapped' | null {
  const ipaPage = Number(ipa >> 12n);
  if (parent.table.find(ipaPage) === null) return 'unmapped';
  const page = noted.get(pageIdentity(parent, ipaPage).memory);
  if (page === undefined) return null;
  const at = Number(ipa & 0xff8n);
  for (let each = at; each < at + 8; each += 1) if (page.known[each] !== 1) return null;
  return new DataView(page.bytes.buffer, page.bytes.byteOffset).getBigUint64(at, true);
}
