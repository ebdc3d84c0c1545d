import type { Resource } from '../../resources/index.ts';

/** Where a program's data lies, as programs print it, and how much of it there is. */
const BASE = 0x7f00_0000_0000n;
const AREA_BYTES = 16n << 20n;
const PAGE = 4096n;
/** The first pages hold the structs of calls, the others user memory. */
const STRUCT_BYTES = 64n << 10n;
const STRUCT_ALIGN = 64n;

/** The memory of a program: addresses as it prints them. */
export interface DataArea {
  /** Room for a struct or string. */
  address(bytes: number): string;
  /** The place of an address of the trace: pages that were apart stay apart, as far as there is room. */
  memory(resource: Resource, delta: bigint): string;
  /** Bytes of the pages from an address on, at most what the area holds. */
  pages(address: string, lengthBytes: bigint): bigint;
}

export function createDataArea(): DataArea {
  let next = 0n;
  let free = STRUCT_BYTES;
  const starts = new Map<number, { start: bigint; room: bigint }>();
  const startOf = ({ index, recorded, lengthBytes }: Resource): { start: bigint; room: bigint } => {
    const known = starts.get(index);
    if (known !== undefined) return known;
    const pages = ((lengthBytes + (recorded % PAGE) + PAGE - 1n) / PAGE) * PAGE;
    const most = AREA_BYTES - STRUCT_BYTES;
    const room = pages === 0n ? PAGE : pages > most ? most : pages;
    // What does not fit any more shares the pages of the others.
    if (free + room > AREA_BYTES) free = STRUCT_BYTES;
    const made = { start: free, room };
    free += room;
    starts.set(index, made);
    return made;
  };
  return {
    address(bytes) {
      const room = ((BigInt(bytes) + STRUCT_ALIGN - 1n) / STRUCT_ALIGN) * STRUCT_ALIGN;
      if (next + room > STRUCT_BYTES) next = 0n;
      const at = next;
      next += room;
      return print(BASE + at);
    },
    memory(resource, delta) {
      const { start, room } = startOf(resource);
      return print(BASE + start + (((resource.recorded % PAGE) + delta) % room));
    },
    pages(address, lengthBytes) {
      const rest = BASE + AREA_BYTES - BigInt(address);
      const pages = ((lengthBytes + PAGE - 1n) / PAGE) * PAGE;
      return pages > rest ? rest : pages === 0n ? PAGE : pages;
    },
  };
}

function print(address: bigint): string {
  return `0x${address.toString(16)}`;
}
