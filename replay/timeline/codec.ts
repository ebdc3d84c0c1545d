import { type Kernel, restoreKernel, serializeKernel, someArea } from '../../src/model/index.ts';
import { createColumns, setArea } from './area-columns.ts';
import { type Sum, sum, sumFrom, sumText } from './hash.ts';
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

const AREA_BYTES = 16;

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
  const json = Buffer.from(JSON.stringify(head));
  const state = serializeKernel(kernel);
  const keys = [...kernel.spaces.keys()].sort((a, b) => a - b);
  const areas = keys.reduce((count, key) => count + kernel.spaces.get(key)!.areas.count, 0);
  const bytes = new Uint8Array(8 + json.length + state.length + areas * AREA_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, json.length, true);
  view.setUint32(4, state.length, true);
  bytes.set(json, 8);
  bytes.set(state, 8 + json.length);
  let at = 8 + json.length + state.length;
  for (const key of keys) {
    const own = columns.get(key);
    someArea(kernel.spaces.get(key)!.areas, (slot) => {
      view.setFloat64(at, own?.since[slot] ?? 0, true);
      view.setInt32(at + 8, own?.high[slot] ?? 0, true);
      view.setInt32(at + 12, own?.low[slot] ?? 0, true);
      at += AREA_BYTES;
      return false;
    });
  }
  return bytes;
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
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const jsonBytes = view.getUint32(0, true);
  const stateBytes = view.getUint32(4, true);
  const head = JSON.parse(Buffer.from(bytes.subarray(8, 8 + jsonBytes)).toString()) as Head;
  const kernel = restoreKernel(bytes.subarray(8 + jsonBytes, 8 + jsonBytes + stateBytes), profile, machine);
  const columns: TrackerState['columns'] = new Map();
  const automatic = new Map(head.automatic);
  let at = 8 + jsonBytes + stateBytes;
  const one: Sum = sum();
  for (const key of [...kernel.spaces.keys()].sort((a, b) => a - b)) {
    const { areas } = kernel.spaces.get(key)!;
    const { length } = areas.startPage;
    const own = createColumns(length);
    for (let slot = 0; slot < areas.count; slot += 1, at += AREA_BYTES) {
      one.high = view.getInt32(at + 8, true);
      one.low = view.getInt32(at + 12, true);
      setArea(own, slot, length, view.getFloat64(at, true), one);
    }
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
