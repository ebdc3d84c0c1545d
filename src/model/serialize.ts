import { NOBODY } from './accounting.ts';
import { type AreaTable, linkArea, someArea } from './area-table.ts';
import type { Kernel } from './kernel.ts';
import { type Machine, MOCK_MACHINE } from './machine.ts';
import { allocatePages, type PagesTable } from './pages-table.ts';
import type { Profile } from './profile.ts';
import { headOf, kernelOf, orderPages, orderSpaces, type StateHead } from './state-head.ts';

/**
 * The whole state of a kernel as bytes: what the digest is taken of, and what a snapshot holds. The same
 * state gives the same bytes however it came about: tables are written in the order of ids and addresses,
 * never of slots.
 */

/** Changes whenever the bytes or the model's behaviour change: an older snapshot is not used then. */
export const MODEL_VERSION = '8';

/** What a snapshot is kept under: states of one kernel profile are none of another. */
export function snapshotVersion(profile: Profile): string {
  return `${MODEL_VERSION} ${profile.name}`;
}

const MAGIC = 'ioasis state 1\n';

interface Head extends StateHead {
  /** Number of an iopt_pages, its payer, `pinned` and `charged`; absent when there are none. */
  readonly charges?: readonly (readonly [number, number, number, number])[];
}

/** Bytes of one area and of one iopt_pages. */
const AREA_BYTES = 8 + 2 + 8 + 2 + 4 + 8 + 2 + 1 + 4 + 1;
const PAGES_BYTES = 4 + 8 + 8 + 4 + 1 + 1;

export function serializeKernel(kernel: Kernel): Uint8Array {
  const order = orderPages(kernel);
  const head: Head = { ...headOf(kernel, order), ...chargesOf(kernel.pages, order) };
  const json = Buffer.from(MAGIC + JSON.stringify(head));
  const areaCount = head.spaces.reduce((sum, [, count]) => sum + count, 0);
  const bytes = new Uint8Array(4 + json.length + areaCount * AREA_BYTES + order.size * PAGES_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, json.length, true);
  bytes.set(json, 4);
  let at = 4 + json.length;
  for (const key of orderSpaces(kernel)) at = writeAreas(view, at, kernel.spaces.get(key)!.areas, order);
  for (const slot of order.keys()) at = writePages(view, at, kernel.pages, slot);
  return bytes;
}

function chargesOf(
  { payer, pinned, charged }: PagesTable,
  order: ReadonlyMap<number, number>,
): Pick<Head, 'charges'> {
  const charges: [number, number, number, number][] = [];
  for (const [slot, number] of order) {
    if (payer[slot] === NOBODY && charged[slot] === 0) continue;
    charges.push([number, payer[slot]!, pinned[slot]!, charged[slot]!]);
  }
  return charges.length === 0 ? {} : { charges };
}

function writeAreas(
  view: DataView,
  at: number,
  areas: AreaTable,
  order: ReadonlyMap<number, number>,
): number {
  someArea(areas, (slot) => {
    view.setFloat64(at, areas.startPage[slot]!, true);
    view.setUint16(at + 8, areas.startOffset[slot]!, true);
    view.setFloat64(at + 10, areas.lastPage[slot]!, true);
    view.setUint16(at + 18, areas.lastOffset[slot]!, true);
    view.setUint32(at + 20, order.get(areas.pages[slot]!)!, true);
    view.setFloat64(at + 24, areas.firstIndex[slot]!, true);
    view.setUint16(at + 32, areas.pageOffset[slot]!, true);
    view.setUint8(at + 34, areas.prot[slot]!);
    view.setUint32(at + 35, areas.accesses[slot]!, true);
    view.setUint8(at + 39, areas.preventAccess[slot]!);
    at += AREA_BYTES;
    return false;
  });
  return at;
}

function writePages(view: DataView, at: number, pages: PagesTable, slot: number): number {
  view.setUint32(at, pages.mm[slot]!, true);
  view.setFloat64(at + 4, pages.basePage[slot]!, true);
  view.setFloat64(at + 12, pages.pageCount[slot]!, true);
  view.setUint32(at + 20, pages.refs[slot]!, true);
  view.setUint8(at + 24, pages.writable[slot]!);
  view.setUint8(at + 25, pages.source[slot]!);
  return at + PAGES_BYTES;
}

/**
 * The kernel that `serializeKernel` wrote. Throws when the bytes are not whole: a snapshot is a cache of
 * ours.
 */
export function restoreKernel(bytes: Uint8Array, profile: Profile, machine: Machine = MOCK_MACHINE): Kernel {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const jsonBytes = view.getUint32(0, true);
  const text = Buffer.from(bytes.subarray(4, 4 + jsonBytes)).toString();
  if (!text.startsWith(MAGIC)) throw new Error('a snapshot of the model does not begin as one');
  const head = JSON.parse(text.slice(MAGIC.length)) as Head;
  return kernelOf(head, profile, machine, ({ pages }, areasOf) => {
    let at = 4 + jsonBytes;
    for (const [key, count] of head.spaces) {
      const areas = areasOf(key);
      for (let slot = 0; slot < count; slot += 1, at += AREA_BYTES) readArea(view, at, areas, slot);
    }
    for (let slot = 0; slot < head.pageSets; slot += 1, at += PAGES_BYTES) readPages(view, at, pages);
    for (const [slot, payer, pinned, charged] of head.charges ?? []) {
      pages.payer[slot] = payer;
      pages.pinned[slot] = pinned;
      pages.charged[slot] = charged;
      if (payer !== NOBODY) pages.payerCount += 1;
    }
  });
}

function readArea(view: DataView, at: number, areas: AreaTable, slot: number): void {
  areas.slotCount = slot + 1;
  areas.startPage[slot] = view.getFloat64(at, true);
  areas.startOffset[slot] = view.getUint16(at + 8, true);
  areas.lastPage[slot] = view.getFloat64(at + 10, true);
  areas.lastOffset[slot] = view.getUint16(at + 18, true);
  areas.pages[slot] = view.getUint32(at + 20, true);
  areas.firstIndex[slot] = view.getFloat64(at + 24, true);
  areas.pageOffset[slot] = view.getUint16(at + 32, true);
  areas.prot[slot] = view.getUint8(at + 34);
  areas.accesses[slot] = view.getUint32(at + 35, true);
  areas.preventAccess[slot] = view.getUint8(at + 39);
  linkArea(areas, slot);
}

function readPages(view: DataView, at: number, table: PagesTable): void {
  const slot = allocatePages(
    table,
    view.getUint32(at, true),
    view.getFloat64(at + 4, true),
    view.getFloat64(at + 12, true),
    view.getUint8(at + 24) === 1,
    view.getUint8(at + 25),
  );
  table.refs[slot] = view.getUint32(at + 20, true);
}
