import { addWide, wide } from '../address.ts';
import { type AreaTable, firstAreaIn, NONE, nextArea } from '../area-table.ts';
import { BAD_USER_POINTER } from '../check.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { type KnownBytes, storePrefix } from '../user-bytes.ts';
import { copyFromUser, copyToUser } from '../user-copy.ts';
import { mappedPages, mappingsOf } from './mappings.ts';
import type { Type1Iommu } from './state.ts';

/**
 * The dirty bitmap of a mapping on its way to the user: vfio_iommu_type1.c update_user_bitmap.
 *
 * No group that the model knows pins pages itself, so every page of a mapping counts as dirty. What needs
 * care are the bits around: the kernel works on whole words, merges a whole word of the user's bitmap at a
 * mapping that does not begin at a word of it, and clears no bits behind the last page afterwards.
 */

/** `DIRTY_BITMAP_PAGES_MAX`. */
export const DIRTY_PAGES_MAX = 2 ** 31 - 1;
/** `DIRTY_BITMAP_SIZE_MAX`: bytes of a bitmap of that many pages. */
export const DIRTY_BITMAP_BYTES_MAX = 2 ** 28;

const WORD_BITS = 64;
const WORD_BYTES = 8;

const BITMAP_SIZE = reason(
  'type1-bitmap-size',
  'EINVAL',
  'vfio_iommu_type1.c verify_bitmap_size',
  'the range has no page, or the bitmap is empty, above 256 MiB, or too small for the range',
);
const BITMAP_ADDRESS = reason(
  'type1-bitmap-address',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_type1_unmap_dma, vfio_iommu_type1_dirty_pages',
  'the bitmap does not lie in user space',
);

/** `struct vfio_bitmap`. */
export interface UserBitmap {
  readonly pageBytes: bigint;
  readonly bytes: bigint;
  readonly address: bigint;
}

/**
 * `TASK_SIZE_MAX` of x86-64 with five-level tables; a range may end right at it. With four levels it is
 * 2^47 - 4096, and a bitmap in between is refused here instead of when it is written.
 */
const USER_END = 2n ** 56n - 4096n;

/** `access_ok`, then `verify_bitmap_size`; a page size of 0 is refused later and shifts nothing. */
export function refuseBitmap(sizeBytes: bigint, { pageBytes, bytes, address }: UserBitmap): Refusal {
  if (address + bytes > USER_END) return BITMAP_ADDRESS;
  const lowestBit = pageBytes === 0n ? 1n : pageBytes & -pageBytes;
  const pages = sizeBytes / lowestBit;
  const needed = BigInt.asUintN(64, ((pages + 63n) / 64n) * 64n) / 8n;
  const fits = bytes > 0n && bytes <= BigInt(DIRTY_BITMAP_BYTES_MAX) && bytes >= needed;
  return pages > 0n && fits ? null : BITMAP_SIZE;
}

/** A word of the user's bitmap that this call has written: a later mapping may begin in it. */
export interface WrittenWord {
  /** -1 when none was written. */
  index: number;
  set: bigint;
  unknown: bigint;
}

export function noWord(): WrittenWord {
  return { index: -1, set: 0n, unknown: 0n };
}

const at = wide();

const ones = (count: number): bigint => (1n << BigInt(count)) - 1n;

/**
 * Writes the bits of one mapping into the user's bitmap, whose bit 0 stands for `basePage`, and remembers
 * the stray bits.
 */
export function writeDirtyBits(
  kernel: Kernel,
  iommu: Type1Iommu,
  slot: number,
  basePage: number,
  address: bigint,
  written: WrittenWord,
): Refusal {
  const { areas } = mappingsOf(kernel, iommu);
  const unitPages = iommu.pageBytes / 4096;
  const bits = mappedPages(areas, slot) / unitPages;
  const firstBit = (areas.startPage[slot]! - basePage) / unitPages;
  const shift = firstBit % WORD_BITS;
  const word = (firstBit - shift) / WORD_BITS;
  const words = Math.ceil((bits + shift) / WORD_BITS);
  const key = String(areas.startPage[slot]!);
  const stray = iommu.strayBits[key];
  const count = BigInt(bits);
  let set = ones(bits) | (BigInt(`0x${stray?.set ?? 0}`) << count);
  let unknown = BigInt(`0x${stray?.unknown ?? 0}`) << count;
  let isReadable = true;
  if (shift > 0) {
    set = shiftWords(set, words, shift);
    unknown = shiftWords(unknown, words, shift);
    const merged = userWord(kernel, address, word, written);
    if (merged === null) isReadable = false;
    else {
      set |= merged.set;
      unknown = (unknown | merged.unknown) & ~set;
    }
  }
  rememberStray(iommu, key, set >> count, unknown >> count);
  if (!isReadable) return BAD_USER_POINTER;
  const lastWord = BigInt((words - 1) * WORD_BITS);
  written.index = word + words - 1;
  written.set = BigInt.asUintN(WORD_BITS, set >> lastWord);
  written.unknown = BigInt.asUintN(WORD_BITS, unknown >> lastWord);
  addressOfWord(address, word);
  const data = bytesOf(set, unknown, words * WORD_BYTES);
  if (copyToUser(kernel, at.page, at.offset, data)) return null;
  storePrefix(kernel.memory, kernel.call.mm, at.page, at.offset, data);
  return BAD_USER_POINTER;
}

/** `bitmap_shift_left` in place: only the words that the result needs are written. */
function shiftWords(value: bigint, words: number, shift: number): bigint {
  const width = BigInt(words * WORD_BITS);
  const low = BigInt.asUintN(words * WORD_BITS, value << BigInt(shift));
  return ((value >> width) << width) | low;
}

function addressOfWord(address: bigint, word: number): void {
  const byte = word * WORD_BYTES;
  addWide(at, Number(address >> 12n), Number(address & 0xfffn), Math.floor(byte / 4096), byte % 4096);
}

/** `copy_from_user` of a word of the user's bitmap; null when it can not be read. */
function userWord(
  kernel: Kernel,
  address: bigint,
  word: number,
  written: WrittenWord,
): { set: bigint; unknown: bigint } | null {
  if (written.index === word) return written;
  addressOfWord(address, word);
  const read = copyFromUser(kernel, at.page, at.offset, WORD_BYTES);
  if (read === null) return null;
  let set = 0n;
  let unknown = 0n;
  for (let index = 0; index < WORD_BYTES; index += 1) {
    const place = BigInt(index * 8);
    if (read.known === null || read.known[index] === 1) set |= BigInt(read.bytes[index]!) << place;
    else unknown |= 0xffn << place;
  }
  return { set, unknown };
}

function bytesOf(set: bigint, unknown: bigint, length: number): KnownBytes {
  const bytes = littleEndian(set, length);
  if (unknown === 0n) return { length, bytes, known: null };
  return { length, bytes, known: littleEndian(unknown, length).map((byte) => (byte === 0 ? 1 : 0)) };
}

function littleEndian(value: bigint, length: number): Uint8Array {
  const digits = BigInt.asUintN(length * 8, value).toString(16);
  const padded = digits.padStart(length * 2, '0');
  return new Uint8Array(Buffer.from(padded, 'hex')).reverse();
}

function rememberStray(iommu: Type1Iommu, key: string, set: bigint, unknown: bigint): void {
  if (set === 0n && unknown === 0n) delete iommu.strayBits[key];
  else iommu.strayBits[key] = { set: set.toString(16), unknown: unknown.toString(16) };
}

/** The first mapping that begins in pages first..last, or NONE; `slot` is where to go on from. */
export function firstBeginningIn(areas: AreaTable, firstPage: number, lastPage: number): number {
  const slot = firstAreaIn(areas, firstPage, 0, lastPage, 4095);
  if (slot === NONE || areas.startPage[slot]! >= firstPage) return slot;
  const next = nextArea(areas, slot);
  return next !== NONE && areas.startPage[next]! <= lastPage ? next : NONE;
}
