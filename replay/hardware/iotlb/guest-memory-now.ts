import { lastNoted, type NotedMemory } from '../guest-memory.ts';
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
  const notes = noted.get(pageIdentity(parent, ipaPage).memory);
  const bytes = notes === undefined ? null : lastNoted(notes, Number(ipa & 0xff8n), 8);
  return bytes === null ? null : new DataView(bytes.buffer).getBigUint64(0, true);
}
