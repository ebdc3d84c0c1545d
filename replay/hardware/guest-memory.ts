import { type Kernel, userPageRuns } from '../../src/model/index.ts';
import { decodeByteString, type Note } from '../../src/trace/index.ts';
import type { Fill } from './fills.ts';
import type { History } from './history.ts';
import { stepsBetween } from './step-list.ts';

/** Memory of a guest, as far as a trace recorded it, addressed as the guest does: through a nest parent. */

export interface GuestPage {
  readonly bytes: Uint8Array;
  /** 1 where the byte was recorded. */
  readonly known: Uint8Array;
  /** Record that told of it last; infinite when none did. */
  readonly seq: number;
}

/** What a guest's address holds. */
export interface GuestMemory {
  /** The page (of 4096 bytes) of an IPA; null where the nest parent maps nothing. */
  page(ipaPage: number): GuestPage | null;
}

/** Bytes that a note told of, inside one page. */
interface NotedBytes {
  readonly seq: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What a trace's notes told of memory, by object and page, in their order. */
export type NotedMemory = Map<string, NotedBytes[]>;

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
      const key = `${run.object}:${run.page}`;
      const known = noted.get(key) ?? [];
      known.push({ seq, offset, bytes: bytes.subarray(at, at + length) });
      noted.set(key, known);
    }
    at += length;
  }
}

/** Bytes of a page as the last notes of them tell, or null where none tells of one of them. */
export function lastNoted(notes: readonly NotedBytes[], from: number, length: number): Uint8Array | null {
  const found = new Uint8Array(length);
  for (let at = from; at < from + length; at += 1) {
    const note = notes.findLast(({ offset, bytes }) => at >= offset && at < offset + bytes.length);
    if (note === undefined) return null;
    found[at - from] = note.bytes[at - note.offset]!;
  }
  return found;
}

/** A page as the notes up to a record tell it. */
function pageUntil(notes: readonly NotedBytes[], untilSeq: number): GuestPage {
  const bytes = new Uint8Array(PAGE_BYTES);
  const known = new Uint8Array(PAGE_BYTES);
  let last = Number.POSITIVE_INFINITY;
  for (const { seq, offset, bytes: part } of notes) {
    if (seq > untilSeq) break;
    bytes.set(part, offset);
    known.fill(1, offset, offset + part.length);
    last = seq;
  }
  return { bytes, known, seq: last };
}

/** A point of a trace: what was done to a domain by then, and the last record that counts. */
export interface GuestMoment {
  /** `PagingDomain.key` of the nest parent. */
  readonly domain: number;
  readonly stepCount: number;
  readonly seq: number;
}

/** The guest memory that a nest parent maps at a point. */
export function guestMemory(
  history: History,
  noted: NotedMemory,
  { domain, stepCount, seq }: GuestMoment,
): GuestMemory {
  const pages = new Map<number, GuestPage>();
  let fills: Fill[] | null = null;
  return {
    page(ipaPage) {
      const known = pages.get(ipaPage);
      if (known !== undefined) return known;
      fills ??= fillsOf(history, domain, stepCount);
      const fill = fillAt(fills, ipaPage);
      if (fill === null) return null;
      const index = ipaPage - fill.page;
      const run = fill.pages.runs.findLast((each) => each.index <= index);
      const notes = run === undefined ? [] : noted.get(`${run.object}:${run.page + index - run.index}`);
      const page = pageUntil(notes ?? [], seq);
      pages.set(ipaPage, page);
      return page;
    },
  };
}

/** Areas that the domain holds after so many steps, by IOVA. */
export function fillsOf(history: History, key: number, stepCount: number): Fill[] {
  const live = new Map<number, Fill>();
  const steps = history.domains.get(key)?.steps;
  for (const step of steps === undefined ? [] : stepsBetween(steps, history, 0, stepCount)) {
    if (step.step === 'map') live.set(step.fill.page, step.fill);
    else live.delete(step.fill.page);
  }
  return [...live.values()].sort((a, b) => a.page - b.page);
}

export function fillAt(fills: readonly Fill[], page: number): Fill | null {
  let low = 0;
  let high = fills.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fills[middle]!.page <= page) low = middle + 1;
    else high = middle;
  }
  const fill = fills[low - 1];
  return fill !== undefined && page < fill.page + fill.pageCount ? fill : null;
}

/**
 * Eight bytes of guest memory; `unmapped` where the nest parent maps nothing, null where the trace does not
 * hold them all.
 */
export function readGuest(memory: GuestMemory, ipa: bigint): bigint | 'unmapped' | null {
  const page = memory.page(Number(ipa >> 12n));
  if (page === null) return 'unmapped';
  const at = Number(ipa & 0xff8n);
  for (let each = at; each < at + 8; each += 1) if (page.known[each] !== 1) return null;
  return new DataView(page.bytes.buffer, page.bytes.byteOffset).getBigUint64(at, true);
}

/** Record that told of an address last; null when none did. */
export function recordedAt(memory: GuestMemory, ipa: bigint): number | null {
  const seq = memory.page(Number(ipa >> 12n))?.seq ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(seq) ? seq : null;
}
