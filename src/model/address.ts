/**
 * 64-bit addresses and lengths as two doubles: a page number below 2^52 and an offset below 4096. Both are
 * exact, and the hot paths pass them as plain numbers, so that nothing is allocated and no BigInt is made.
 *
 * The unit "page" here is always 4096 bytes, whatever the CPU's page size: it only splits the number.
 */

export const PAGE_BYTES = 4096;
/** Page number of U64_MAX. */
export const TOP_PAGE = 2 ** 52 - 1;
/** Offset of U64_MAX. */
export const TOP_OFFSET = 4095;

/** A mutable 64-bit value, for results of arithmetic; callers keep one and reuse it. */
export interface Wide {
  page: number;
  offset: number;
}

export function wide(page = 0, offset = 0): Wide {
  return { page, offset };
}

/** into = a + b modulo 2^64; true when the sum wrapped. */
export function addWide(into: Wide, aPage: number, aOffset: number, bPage: number, bOffset: number): boolean {
  let offset = aOffset + bOffset;
  let page = aPage + bPage;
  if (offset >= PAGE_BYTES) {
    offset -= PAGE_BYTES;
    page += 1;
  }
  const wrapped = page > TOP_PAGE;
  into.page = wrapped ? page - (TOP_PAGE + 1) : page;
  into.offset = offset;
  return wrapped;
}

/** into = a - b modulo 2^64; true when it went below zero. */
export function subWide(into: Wide, aPage: number, aOffset: number, bPage: number, bOffset: number): boolean {
  let offset = aOffset - bOffset;
  let page = aPage - bPage;
  if (offset < 0) {
    offset += PAGE_BYTES;
    page -= 1;
  }
  const wrapped = page < 0;
  into.page = wrapped ? page + (TOP_PAGE + 1) : page;
  into.offset = offset;
  return wrapped;
}

/** Negative, zero or positive as a is below, equal to or above b. */
export function compareWide(aPage: number, aOffset: number, bPage: number, bOffset: number): number {
  return aPage === bPage ? aOffset - bOffset : aPage - bPage;
}

export function isTop(page: number, offset: number): boolean {
  return page === TOP_PAGE && offset === TOP_OFFSET;
}

/** Bytes as a double; exact only below 2^53. */
export function toNumber(page: number, offset: number): number {
  return page * PAGE_BYTES + offset;
}

export function toBigInt(page: number, offset: number): bigint {
  return (BigInt(page) << 12n) | BigInt(offset);
}

export function pageOf(value: bigint): number {
  return Number(BigInt.asUintN(64, value) >> 12n);
}

export function offsetOf(value: bigint): number {
  return Number(value & 0xfffn);
}

/** Reads a little-endian u64: its page number. */
export function readPage(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x100000 + (view.getUint32(at, true) >>> 12);
}

/** Reads a little-endian u64: its offset in the page. */
export function readOffset(view: DataView, at: number): number {
  return view.getUint32(at, true) & 0xfff;
}

/** Writes a little-endian u64. */
export function writeWide(view: DataView, at: number, page: number, offset: number): void {
  const high = Math.floor(page / 0x100000);
  view.setUint32(at, (page - high * 0x100000) * PAGE_BYTES + offset, true);
  view.setUint32(at + 4, high, true);
}

/** True when the value is a multiple of `alignment`, a power of two in bytes. */
export function isAligned(page: number, offset: number, alignment: number): boolean {
  if (alignment <= PAGE_BYTES) return (offset & (alignment - 1)) === 0;
  return offset === 0 && page % (alignment / PAGE_BYTES) === 0;
}
