import { ruledPage } from './memory-rule.ts';
import {
  isAccessible,
  type Locate,
  locatePage,
  type PageContent,
  type PageIdentity,
  type UserMemory,
} from './user-memory.ts';

/** What is known of the bytes in user memory: noted, or written by the kernel. */

/**
 * Notes what user memory holds: a `usermem` note, or bytes the kernel wrote. Null bytes forget what was
 * known.
 */
export function storeBytes(
  memory: UserMemory,
  mm: number,
  page: number,
  offset: number,
  bytes: KnownBytes,
  locate: Locate = locatePage,
): void {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(4096 - offset, bytes.length - done);
    const content = contentOf(memory, locate(memory, mm, page));
    content.bytes.set(bytes.bytes.subarray(done, done + length), offset);
    if (bytes.known === null) content.known.fill(1, offset, offset + length);
    else content.known.set(bytes.known.subarray(done, done + length), offset);
    done += length;
    page += 1;
    offset = 0;
  }
}

/** A user copy that faults half way has written what lies before the first page that can not be written. */
export function storePrefix(
  memory: UserMemory,
  mm: number,
  page: number,
  offset: number,
  data: KnownBytes,
): void {
  let pages = 0;
  while (
    pages * 4096 < offset + data.length &&
    isAccessible(memory, mm, page + pages, page + pages, true, false)
  ) {
    pages += 1;
  }
  const length = Math.min(pages * 4096 - offset, data.length);
  if (length <= 0) return;
  const known = data.known?.subarray(0, length) ?? null;
  storeBytes(memory, mm, page, offset, { length, bytes: data.bytes.subarray(0, length), known });
}

/** Bytes of which some may be unknown; `known` null means all are known. */
export interface KnownBytes {
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly known: Uint8Array | null;
}

export function knownBytes(bytes: Uint8Array): KnownBytes {
  return { length: bytes.length, bytes, known: null };
}

/** What a copy of `length` bytes reads, with the bytes that no record tells marked unknown. */
export function loadBytes(
  memory: UserMemory,
  mm: number,
  page: number,
  offset: number,
  length: number,
  locate: Locate = locatePage,
): KnownBytes {
  const bytes = new Uint8Array(length);
  const known = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const part = Math.min(4096 - offset, length - done);
    const at = locate(memory, mm, page);
    const content = memory.contents.get(at.object)?.get(at.page);
    if (content !== undefined) {
      bytes.set(content.bytes.subarray(offset, offset + part), done);
      known.set(content.known.subarray(offset, offset + part), done);
    } else if (memory.ruled.length > 0) {
      const ruled = ruledPage(memory, at);
      if (ruled !== null) {
        bytes.set(ruled.subarray(offset, offset + part), done);
        known.fill(1, done, done + part);
      }
    }
    done += part;
    page += 1;
    offset = 0;
  }
  return { length, bytes, known: known.includes(0) ? known : null };
}

function contentOf(memory: UserMemory, at: PageIdentity): PageContent {
  let pages = memory.contents.get(at.object);
  if (pages === undefined) {
    pages = new Map();
    memory.contents.set(at.object, pages);
  }
  let content = pages.get(at.page);
  if (content === undefined) {
    const ruled = ruledPage(memory, at);
    content = {
      bytes: ruled ?? new Uint8Array(4096),
      known: new Uint8Array(4096).fill(ruled === null ? 0 : 1),
    };
    pages.set(at.page, content);
  }
  return content;
}
