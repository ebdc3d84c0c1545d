import { NOBODY } from './accounting.ts';
import { createLockedMemory, isNothingLocked, type LockedMemory } from './accounting-state.ts';
import { type AreaTable, createAreaTable, linkArea, someArea } from './area-table.ts';
import { NO_EFFECTS } from './effects.ts';

import { mergeRanges } from './iova-space.ts';
import { createKernel, type Kernel } from './kernel.ts';
import { type Machine, MOCK_MACHINE } from './machine.ts';
import { type AccessNode, allocatePages, type PagesTable, type ReplacedPages } from './pages-table.ts';
import type { Profile } from './profile.ts';
import type { ControlState } from './state.ts';
import type { AddressSpace, FileMemory, RuledPages, UserMemory } from './user-memory.ts';

/**
 * The whole state of a kernel as bytes: what the digest is taken of, and what a snapshot holds. The same
 * state gives the same bytes however it came about: tables are written in the order of ids and addresses,
 * never of slots.
 */

/** Changes whenever the bytes or the model's behaviour change: an older snapshot is not used then. */
export const MODEL_VERSION = '7';

/** What a snapshot is kept under: states of one kernel profile are none of another. */
export function snapshotVersion(profile: Profile): string {
  return `${MODEL_VERSION} ${profile.name}`;
}

const MAGIC = 'ioasis state 1\n';

/** Everything but areas and pages. */
interface Head {
  /** What nobody has locked is left out. */
  readonly control: Omit<ControlState, 'locked'> & { locked?: LockedMemory };
  readonly memory: {
    readonly spaces: readonly AddressSpace[];
    readonly contents: readonly (readonly [number, readonly (readonly [number, string, string])[]])[];
    /** Absent where no rule tells of memory. */
    readonly ruled?: readonly RuledPages[];
    readonly files: readonly (readonly [string, FileMemory])[];
    readonly nextObject: number;
  };
  readonly dirty: readonly (readonly [number, readonly number[]])[];
  readonly lastPid: number;
  readonly servesContainers: boolean;
  /** Key and number of areas of each IOVA space. */
  readonly spaces: readonly (readonly [number, number])[];
  readonly pageSets: number;
  readonly accessNodes: readonly (readonly [number, readonly AccessNode[]])[];
  readonly replaced: readonly (readonly [number, readonly ReplacedPages[]])[];
  /** Number of an iopt_pages, its payer, `pinned` and `charged`; absent when there are none. */
  readonly charges?: readonly (readonly [number, number, number, number])[];
}

/** Bytes of one area and of one iopt_pages. */
const AREA_BYTES = 8 + 2 + 8 + 2 + 4 + 8 + 2 + 1 + 4 + 1;
const PAGES_BYTES = 4 + 8 + 8 + 4 + 1 + 1;

export function serializeKernel(kernel: Kernel): Uint8Array {
  const order = orderPages(kernel);
  const keys = [...kernel.spaces.keys()].sort((a, b) => a - b);
  const spaces = keys.map((key): [number, number] => [key, kernel.spaces.get(key)!.areas.count]);
  const accessNodes = [...kernel.pages.accessNodes]
    .map(([slot, nodes]): [number, AccessNode[]] => [order.get(slot)!, [...nodes].sort(compareNodes)])
    .sort(([a], [b]) => a - b);
  const replaced = [...kernel.pages.replaced]
    .map(([slot, parts]): [number, ReplacedPages[]] => [
      order.get(slot)!,
      [...parts].sort((a, b) => a.first - b.first),
    ])
    .sort(([a], [b]) => a - b);
  const head: Head = {
    control: controlHead(kernel.state),
    memory: memoryHead(kernel.memory),
    dirty: [...kernel.dirty]
      .sort(([a], [b]) => a - b)
      .map(([key, bits]): [number, number[]] => [key, [...bits].sort((a, b) => a - b)]),
    lastPid: kernel.lastPid,
    servesContainers: kernel.servesContainers,
    spaces,
    pageSets: order.size,
    accessNodes,
    replaced,
    ...chargesOf(kernel.pages, order),
  };
  const json = Buffer.from(MAGIC + JSON.stringify(head));
  const areaCount = spaces.reduce((sum, [, count]) => sum + count, 0);
  const bytes = new Uint8Array(4 + json.length + areaCount * AREA_BYTES + order.size * PAGES_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, json.length, true);
  bytes.set(json, 4);
  let at = 4 + json.length;
  for (const key of keys) at = writeAreas(view, at, kernel.spaces.get(key)!.areas, order);
  for (const slot of order.keys()) at = writePages(view, at, kernel.pages, slot);
  return bytes;
}

function controlHead({ locked, ...control }: ControlState): Head['control'] {
  return isNothingLocked(locked) ? control : { ...control, locked };
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

function compareNodes(a: AccessNode, b: AccessNode): number {
  return a.first - b.first || a.last - b.last;
}

/** Number of each live iopt_pages, in the order in which the areas name them. */
function orderPages(kernel: Kernel): Map<number, number> {
  const order = new Map<number, number>();
  for (const key of [...kernel.spaces.keys()].sort((a, b) => a - b)) {
    const { areas } = kernel.spaces.get(key)!;
    someArea(areas, (slot) => {
      const pages = areas.pages[slot]!;
      if (!order.has(pages)) order.set(pages, order.size);
      return false;
    });
  }
  return order;
}

function memoryHead(memory: UserMemory): Head['memory'] {
  const contents = [...memory.contents]
    .sort(([a], [b]) => a - b)
    .map(([object, pages]): [number, [number, string, string][]] => [
      object,
      [...pages]
        .sort(([a], [b]) => a - b)
        .map(([page, content]) => [
          page,
          Buffer.from(content.bytes).toString('base64'),
          Buffer.from(content.known).toString('base64'),
        ]),
    ]);
  const files = [...memory.files].sort(([a], [b]) => (a < b ? -1 : 1));
  const ruled = memory.ruled.length === 0 ? {} : { ruled: memory.ruled };
  return { spaces: memory.spaces, contents, ...ruled, files, nextObject: memory.nextObject };
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
  const kernel = createKernel(profile, head.servesContainers, NO_EFFECTS, machine);
  kernel.state = { ...head.control, locked: head.control.locked ?? createLockedMemory() };
  kernel.lastPid = head.lastPid;
  restoreMemory(kernel.memory, head.memory);
  for (const [key, bits] of head.dirty) kernel.dirty.set(key, new Set(bits));
  let at = 4 + jsonBytes;
  for (const [key, count] of head.spaces) {
    const areas = createAreaTable(Math.max(16, count));
    for (let slot = 0; slot < count; slot += 1, at += AREA_BYTES) readArea(view, at, areas, slot);
    kernel.spaces.set(key, { areas, reserved: mergeRanges([]), allowed: mergeRanges([]) });
  }
  for (let slot = 0; slot < head.pageSets; slot += 1, at += PAGES_BYTES) readPages(view, at, kernel.pages);
  for (const [slot, nodes] of head.accessNodes) kernel.pages.accessNodes.set(slot, [...nodes]);
  for (const [slot, parts] of head.replaced) kernel.pages.replaced.set(slot, [...parts]);
  for (const [slot, payer, pinned, charged] of head.charges ?? []) {
    kernel.pages.payer[slot] = payer;
    kernel.pages.pinned[slot] = pinned;
    kernel.pages.charged[slot] = charged;
    if (payer !== NOBODY) kernel.pages.payerCount += 1;
  }
  for (const context of Object.values(kernel.state.contexts)) {
    for (const object of Object.values(context.objects)) {
      if (object.type !== 'ioas') continue;
      const space = kernel.spaces.get(object.space)!;
      space.reserved = mergeRanges(object.reserved);
      space.allowed = mergeRanges(object.allowed);
    }
  }
  return kernel;
}

function restoreMemory(memory: UserMemory, head: Head['memory']): void {
  memory.spaces.splice(0, memory.spaces.length, ...head.spaces);
  for (const [object, pages] of head.contents) {
    const content = pages.map(([page, bytes, known]): [number, { bytes: Uint8Array; known: Uint8Array }] => [
      page,
      {
        bytes: new Uint8Array(Buffer.from(bytes, 'base64')),
        known: new Uint8Array(Buffer.from(known, 'base64')),
      },
    ]);
    memory.contents.set(object, new Map(content));
  }
  memory.ruled.push(...(head.ruled ?? []));
  for (const [key, file] of head.files) memory.files.set(key, file);
  memory.nextObject = head.nextObject;
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
