import type { Resource } from './resource.ts';

/** A stretch of user addresses and what lies there; `end` is exclusive. */
interface Segment {
  readonly start: bigint;
  readonly end: bigint;
  readonly memory: Resource;
}

/** Where an address lies. `left`: bytes to the end of the part of the memory that is still mapped there. */
export interface Placed {
  readonly memory: Resource;
  readonly delta: bigint;
  readonly left: bigint;
}

/** What is mapped where in a process, as far as mmap and munmap were recorded. */
export interface AddressSpace {
  map(start: bigint, lengthBytes: bigint, memory: Resource): void;
  /** Removes what lies in the range; answers the memory of which nothing is left. */
  unmap(start: bigint, lengthBytes: bigint): readonly Resource[];
  find(address: bigint): Placed | null;
  /** The parts of a range where nothing lies. */
  gaps(start: bigint, lengthBytes: bigint): readonly { start: bigint; lengthBytes: bigint }[];
  /** The same mappings, for a forked process. */
  copy(): AddressSpace;
}

/** An address space with these segments, which do not overlap. */
export function createAddressSpace(initial: readonly Segment[] = []): AddressSpace {
  const segments: Segment[] = [...initial].sort((one, other) => (one.start < other.start ? -1 : 1));

  /** Index of the first segment that ends above the address. */
  const firstAbove = (address: bigint): number => {
    let low = 0;
    let high = segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (segments[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  const remove = (start: bigint, end: bigint): Segment[] => {
    const from = firstAbove(start);
    let to = from;
    while (to < segments.length && segments[to]!.start < end) to += 1;
    const hit = segments.slice(from, to);
    const kept = hit.flatMap((segment) => [
      ...(segment.start < start ? [{ ...segment, end: start }] : []),
      ...(segment.end > end ? [{ ...segment, start: end }] : []),
    ]);
    segments.splice(from, to - from, ...kept);
    return hit;
  };

  return {
    map(start, lengthBytes, memory) {
      if (lengthBytes <= 0n) return;
      remove(start, start + lengthBytes);
      segments.splice(firstAbove(start), 0, { start, end: start + lengthBytes, memory });
    },
    unmap(start, lengthBytes) {
      const hit = new Set(remove(start, start + lengthBytes).map(({ memory }) => memory));
      for (const { memory } of segments) hit.delete(memory);
      return [...hit];
    },
    find(address) {
      const segment = segments[firstAbove(address)];
      if (segment === undefined || segment.start > address) return null;
      const { memory, end } = segment;
      return { memory, delta: address - memory.recorded, left: end - address };
    },
    gaps(start, lengthBytes) {
      const end = start + lengthBytes;
      const found: { start: bigint; lengthBytes: bigint }[] = [];
      let from = start;
      for (let index = firstAbove(start); from < end; index++) {
        const segment = segments[index];
        const next = segment === undefined || segment.start > end ? end : segment.start;
        if (next > from) found.push({ start: from, lengthBytes: next - from });
        from = segment === undefined ? end : segment.end;
      }
      return found;
    },
    copy: () => createAddressSpace(segments),
  };
}
