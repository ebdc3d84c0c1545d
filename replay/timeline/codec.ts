import {
  areaOrder,
  createColumnReader,
  createColumnWriter,
  type Kernel,
  packKernel,
  unpackKernel,
} from '../../src/model/index.ts';
import { countContent, createColumns } from './area-columns.ts';
import { sumFrom, sumText } from './hash.ts';
import type { Piece } from './memory-roles.ts';
import type { Tracker, TrackerState } from './tracker.ts';

/**
 * A point of a timeline as bytes: the kernel, and what was tracked beside it. Columns are written in the
 * order of areas, which is the order of the slots of a restored kernel.
 */

interface Head {
  readonly nodes: readonly (readonly [string, number])[];
  readonly edges: readonly (readonly [string, readonly (readonly [string, number])[]])[];
  readonly names: readonly (readonly [number, string])[];
  readonly counts: readonly (readonly [string, number])[];
  readonly pieces: readonly (readonly [number, readonly Piece[]])[];
  /** By IOVA space. */
  readonly automatic: readonly (readonly [number, number])[];
  readonly changes: number;
  readonly chain: string;
}

export function encodePoint(kernel: Kernel, tracker: Tracker): Uint8Array {
  const { lineage, roles, changes, chain, columns } = tracker;
  const head: Head = {
    nodes: [...lineage.nodes],
    edges: [...lineage.edges].map(([from, own]) => [from, [...own]]),
    names: namesInUse(kernel, tracker),
    counts: [...roles.counts],
    pieces: [...roles.pieces],
    automatic: [...columns]
      .filter(([, own]) => own.automatic > 0)
      .map(([key, own]): [number, number] => [key, own.automatic])
      .sort(([one], [other]) => one - other),
    changes,
    chain: sumText(chain),
  };
  const writer = createColumnWriter();
  writer.text(JSON.stringify(head));
  packKernel(kernel, writer);
  for (const key of keysOf(kernel)) {
    const slots = areaOrder(kernel.spaces.get(key)!.areas);
    const own = columns.get(key) ?? createColumns(slots.length);
    for (const column of [own.since, own.high, own.low]) {
      const scratch = new Float64Array(slots.length);
      for (let at = 0; at < slots.length; at += 1) scratch[at] = column[slots[at]!]!;
      writer.numbers(scratch, slots.length);
    }
  }
  return writer.bytes();
}

function keysOf({ spaces }: Kernel): number[] {
  return [...spaces.keys()].sort((a, b) => a - b);
}

/** Names of what is mapped nowhere any more are of no use to anybody. */
function namesInUse({ memory, pages }: Kernel, { roles }: Tracker): Head['names'] {
  const used = new Set<number>();
  for (const { anonymous, ranges } of memory.spaces) {
    used.add(anonymous);
    for (const { backing } of ranges) if (backing !== null) used.add(backing.object);
  }
  for (const { object } of memory.files.values()) used.add(object);
  for (const parts of pages.replaced.values()) for (const { object } of parts) used.add(object);
  return [...roles.names].filter(([object]) => used.has(object));
}

/** @throws when the bytes are not whole: they are a cache of ours. */
export function decodePoint(
  bytes: Uint8Array,
  profile: Kernel['profile'],
  machine: Kernel['machine'],
): { readonly kernel: Kernel; readonly state: TrackerState } {
  const reader = createColumnReader(bytes);
  const head = JSON.parse(reader.text()) as Head;
  const kernel = unpackKernel(reader, profile, machine);
  const columns: TrackerState['columns'] = new Map();
  const automatic = new Map(head.automatic);
  for (const key of keysOf(kernel)) {
    const { areas } = kernel.spaces.get(key)!;
    const own = createColumns(areas.startPage.length);
    for (const column of [own.since, own.high, own.low]) reader.numbers(column);
    countContent(own, areas.count);
    own.automatic = automatic.get(key) ?? 0;
    columns.set(key, own);
  }
  const roles = {
    names: new Map(head.names),
    counts: new Map(head.counts),
    pieces: new Map(head.pieces.map(([object, own]) => [object, [...own]])),
  };
  const lineage = {
    nodes: new Map(head.nodes),
    edges: new Map(head.edges.map(([from, own]) => [from, new Map(own)])),
  };
  return { kernel, state: { lineage, roles, columns, changes: head.changes, chain: sumFrom(head.chain) } };
}
