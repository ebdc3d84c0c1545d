import { type IovaSpace, type Kernel, pinnedPageRuns, spaceOf, userPageRuns } from '../../src/model/index.ts';
import { decodeByteString, type Note } from '../../src/trace/index.ts';

/** Memory of a guest whose tables a trace recorded, addressed as the guest does: through a nest parent. */

export interface GuestPage {
  readonly bytes: Uint8Array;
  /** 1 where the byte was recorded. */
  readonly known: Uint8Array;
  /** Record that told of it last; infinite when none did. */
  seq: number;
}

/** What a guest's address holds. */
export interface GuestMemory {
  /** The page (of 4096 bytes) of an IPA; null where the nest parent maps nothing. */
  page(ipaPage: number): GuestPage | null;
}

/** What a trace's notes told of memory, beside what the model itself keeps of it. */
export type NotedMemory = Map<string, GuestPage>;

const PAGE_BYTES = 4096;

/** Takes in a note about bytes of user memory (`bytes`, `usermem`) or those a device wrote (`edu_dma`). */
export function noteMemory(noted: NotedMemory, kernel: Kernel, note: Note): void {
  const { fields } = note;
  const changes = note.kind === 'edu_dma' ? fields['changed'] : null;
  if (Array.isArray(changes)) {
    for (const change of changes) if (typeof change === 'object') noteBytes(noted, kernel, note, change);
    return;
  }
  if (note.kind === 'bytes' || note.kind === 'usermem') noteBytes(noted, kernel, note, fields);
}

function noteBytes(noted: NotedMemory, kernel: Kernel, { pid, seq }: Note, fields: unknown): void {
  const { va, hex } = fields as { readonly va?: unknown; readonly hex?: unknown };
  const process = kernel.state.processes[pid];
  if (typeof va !== 'string' || typeof hex !== 'string' || process === undefined) return;
  const bytes = decodeByteString('hex', hex);
  if (!(bytes instanceof Uint8Array)) return;
  let page = Number(BigInt(va) >> 12n);
  let offset = Number(BigInt(va) & 0xfffn);
  for (let at = 0; at < bytes.length; page += 1, offset = 0) {
    const length = Math.min(PAGE_BYTES - offset, bytes.length - at);
    const [run] = userPageRuns(kernel, process.mm, page, 1);
    if (run !== undefined) {
      const known = pageOf(noted, run.object, run.page);
      known.bytes.set(bytes.subarray(at, at + length), offset);
      known.known.fill(1, offset, offset + length);
      known.seq = seq;
    }
    at += length;
  }
}

function pageOf(noted: NotedMemory, object: number, page: number): GuestPage {
  const key = `${object}:${page}`;
  let known = noted.get(key);
  if (known === undefined) {
    known = nothingKnown();
    noted.set(key, known);
  }
  return known;
}

function nothingKnown(): GuestPage {
  const seq = Number.POSITIVE_INFINITY;
  return { bytes: new Uint8Array(PAGE_BYTES), known: new Uint8Array(PAGE_BYTES), seq };
}

/** The guest memory that a nest parent (by `PagingDomain.key`) maps now. */
export function guestMemory(kernel: Kernel, noted: NotedMemory, domain: number): GuestMemory {
  const space = spaceOfDomain(kernel, domain);
  return {
    page(ipaPage) {
      const slot = space === null ? -1 : slotAt(space, ipaPage);
      if (space === null || slot < 0) return null;
      const { areas } = space;
      const index = areas.firstIndex[slot]! + ipaPage - areas.startPage[slot]!;
      const [run] = pinnedPageRuns(kernel, areas.pages[slot]!, index, 1);
      if (run === undefined) return null;
      const known = noted.get(`${run.object}:${run.page}`);
      return known ?? nothingKnown();
    },
  };
}

function spaceOfDomain(kernel: Kernel, domain: number): IovaSpace | null {
  for (const { objects } of Object.values(kernel.state.contexts)) {
    for (const object of Object.values(objects)) {
      if (object.type !== 'hwpt-paging' || object.domain.key !== domain) continue;
      const ioas = objects[object.ioas];
      return ioas?.type === 'ioas' ? spaceOf(kernel, ioas) : null;
    }
  }
  return null;
}

function slotAt({ areas }: IovaSpace, page: number): number {
  for (const { slot, count } of areas.chunks) {
    for (let at = 0; at < count; at += 1) {
      const each = slot[at]!;
      if (areas.startPage[each]! <= page && page <= areas.lastPage[each]!) return each;
    }
  }
  return -1;
}

/**
 * Eight bytes of guest memory; `unmapped` where stage 2 faults, null where the trace does not hold them all.
 */
export function readGuest(memory: GuestMemory, ipa: bigint): bigint | 'unmapped' | null {
  const page = memory.page(Number(ipa >> 12n));
  if (page === null) return 'unmapped';
  const at = Number(ipa & 0xff8n);
  for (let each = at; each < at + 8; each += 1) if (page.known[each] !== 1) return null;
  return new DataView(page.bytes.buffer, page.bytes.byteOffset).getBigUint64(at, true);
}
