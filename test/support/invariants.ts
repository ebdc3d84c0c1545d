import { toBigInt } from '../../src/model/address.ts';
import { someArea } from '../../src/model/area-table.ts';
import type { IovaSpace } from '../../src/model/iova-space.ts';
import { type Kernel, spaceOf } from '../../src/model/kernel.ts';
import { freePages } from '../../src/model/pages-table.ts';
import type { Context, Ioas, KernelObject, Slot, WindowMapping } from '../../src/model/state.ts';
import { deviceHolds, expectedOwners, vfioReferences, vfioUsers, vfioViolations } from './vfio-invariants.ts';

/** What must hold in every state of the model, computed from nothing but the state. */

/** Held slots of all groups, of RIDs and PASIDs. */
function slotsOf(context: Context): Slot[] {
  return Object.values(context.groups).flatMap(({ slots }) => Object.values(slots));
}

function isOpen(kernel: Kernel, context: Context, of: string, id: number): boolean {
  return Object.values(kernel.state.files).some(
    ({ kind, object, context: home }) => kind === of && object === id && home === context.id,
  );
}

/** `users` of an object: one for the table of ids, and one for each reference that the kernel takes. */
function countUsers(kernel: Kernel, context: Context, object: KernelObject): number {
  const others = Object.values(context.objects);
  const count = (refers: (other: KernelObject) => boolean): number => others.filter(refers).length;
  const { id } = object;
  switch (object.type) {
    case 'ioas':
      return 1 + count((o) => (o.type === 'hwpt-paging' || o.type === 'access') && o.ioas === id);
    case 'hwpt-paging':
    case 'hwpt-nested': {
      const attached = slotsOf(context).reduce(
        (sum, slot) => sum + (slot.hwpt === id ? slot.devices.length : 0),
        0,
      );
      const nested = count((o) => o.type === 'hwpt-nested' && o.viommu === 0 && o.parent === id);
      return 1 + attached + nested + count((o) => o.type === 'viommu' && o.hwpt === id);
    }
    case 'device': {
      // The driver's own reference goes when it unbinds, even where a PASID keeps the device.
      const bound = count((o) => o.type === 'selftest' && o.device === id);
      return (
        1 +
        bound +
        deviceHolds(kernel, context, id) +
        slotsOf(context).filter(({ devices }) => devices.includes(id)).length
      );
    }
    case 'access':
      return 2;
    case 'viommu': {
      const users = count((o) => 'viommu' in o && o.viommu === id);
      return 1 + users + windowsOf(kernel, context).filter(({ viommu }) => viommu === id).length;
    }
    case 'vdevice':
      return 1;
    case 'veventq':
      return 1 + (isOpen(kernel, context, 'veventq', id) ? 1 : 0);
    case 'hw-queue':
      return (
        1 + count((o) => o.type === 'hw-queue' && o.viommu === object.viommu && o.index === object.index + 1)
      );
    case 'fault': {
      const users = count((o) => (o.type === 'hwpt-paging' || o.type === 'hwpt-nested') && o.fault === id);
      return 1 + (isOpen(kernel, context, 'fault', id) ? 1 : 0) + users;
    }
    case 'selftest':
      return 1;
  }
}

/** Mapped windows of a context's vIOMMUs. */
function windowsOf(kernel: Kernel, { id }: Context): readonly WindowMapping[] {
  return kernel.state.windows.filter(({ context }) => context === id);
}

/** What is wrong, in words; nothing when all is well. */
type Report = (says: string) => void;

function checkUsers(kernel: Kernel, context: Context, wrong: Report): void {
  for (const [key, object] of Object.entries(context.objects)) {
    if (object.id !== Number(key)) wrong(`object ${object.id} is listed as ${key}`);
    const users = countUsers(kernel, context, object);
    if (object.users !== users) wrong(`${object.type} ${object.id} has ${object.users} users, not ${users}`);
  }
  if (context.constructing !== 0) wrong('an id stays taken');
  for (let id = 1; id < context.freeHint; id += 1) {
    if (context.objects[id] === undefined && context.tombstones[id] === undefined)
      wrong(`id ${id} is free below ${context.freeHint}`);
  }
}

/** Files and the descriptors of processes that point to them; a vDEVICE's tombstone takes an id for ever. */
function checkFiles(kernel: Kernel, wrong: Report): void {
  const { files, processes, contexts } = kernel.state;
  const pointing = new Map<number, number>();
  for (const { descriptors } of Object.values(processes)) {
    // A descriptor of 0 is taken by something that no record tells of.
    for (const id of Object.values(descriptors).filter((file) => file !== 0)) {
      pointing.set(id, (pointing.get(id) ?? 0) + 1);
      if (files[id] === undefined) wrong(`a descriptor points to file ${id}, which is closed`);
    }
  }
  for (const { id, descriptors, context, object, kind } of Object.values(files)) {
    const mapped = kernel.state.windows.filter(({ file }) => file === id).length;
    const count = (pointing.get(id) ?? 0) + mapped;
    if (descriptors !== count) wrong(`file ${id} has ${descriptors} descriptors, not ${count}`);
    if (context !== 0 && contexts[context] === undefined) wrong(`file ${id} has no context`);
    if (object === 0 || context === 0) continue;
    const type = contexts[context]?.objects[object]?.type;
    if (type !== kind) wrong(`file ${id} is open on ${kind} ${object}, which is ${type}`);
  }
}

function checkFileReferences(kernel: Kernel, context: Context, wrong: Report): void {
  const files = Object.values(kernel.state.files).filter((file) => file.context === context.id);
  const own = files.filter(({ kind }) => kind === 'iommufd');
  const descriptors = own.reduce((sum, file) => sum + file.descriptors, 0);
  const others = files.length - own.length + windowsOf(kernel, context).length;
  const references = descriptors + others + vfioReferences(kernel, context);
  if (context.fileRefs !== references)
    wrong(`context ${context.id}: fileRefs ${context.fileRefs}, not ${references}`);
}

/** Groups and devices name each other, and the page table that both are attached to. */
function checkGroups(context: Context, wrong: Report): void {
  for (const group of Object.values(context.groups)) {
    for (const [pasid, slot] of Object.entries(group.slots)) {
      if (slot.devices.length === 0) wrong(`slot ${pasid} of group ${group.id} is held by nobody`);
      const { type } = context.objects[slot.hwpt] ?? {};
      if (type !== 'hwpt-paging' && type !== 'hwpt-nested') wrong(`slot ${pasid} is attached to ${type}`);
      for (const id of slot.devices) {
        const device = context.objects[id];
        if (device?.type !== 'device' || device.group !== group.id) wrong(`group ${group.id} names ${id}`);
      }
    }
  }
  for (const object of Object.values(context.objects)) {
    if (object.type === 'device' && context.groups[object.group] === undefined)
      wrong(`${object.id} has no group`);
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  const [x, y] = [a, b].map((list) => [...list].sort(ascending));
  return x!.length === y!.length && x!.every((value, index) => value === y![index]);
}

const ascending = (a: number, b: number): number => a - b;

function checkLists(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  lost: ReadonlySet<string>,
  wrong: Report,
): void {
  const objects = Object.values(context.objects);
  const hwpts = objects.filter((o) => o.type === 'hwpt-paging' && o.ioas === ioas.id).map(({ id }) => id);
  const accesses = objects.filter((o) => o.type === 'access' && o.ioas === ioas.id).map(({ id }) => id);
  if (!isSame(ioas.hwpts, hwpts) || !isSame(ioas.domains, hwpts))
    wrong(`IOAS ${ioas.id}: page tables differ`);
  if (!isSame(Object.values(ioas.accesses), accesses)) wrong(`IOAS ${ioas.id}: access objects differ`);
  const optional = (owner: string) =>
    owner === 'test' || lost.has(owner.replace('device:', `${context.id}:`));
  const owners = ioas.reserved.map(({ owner }) => owner).filter((owner) => !optional(owner));
  const expected = expectedOwners(kernel, context, ioas).filter((owner) => !optional(owner));
  if (owners.sort().join() !== expected.sort().join())
    wrong(`IOAS ${ioas.id}: ranges reserved by ${owners}, not ${expected}`);
}

/** Pages that the areas of a leaked IOAS hold for ever. */
function countLeaked({ areas }: IovaSpace, references: Map<number, number>): void {
  someArea(areas, (slot) => {
    const pages = areas.pages[slot]!;
    references.set(pages, (references.get(pages) ?? 0) + 1);
    return false;
  });
}

/** Areas ascend apart from each other, outside reserved ranges, aligned as asked. Counts references. */
function checkAreas(kernel: Kernel, ioas: Ioas, references: Map<number, number>, wrong: Report): void {
  const { areas } = spaceOf(kernel, ioas);
  const reserved = ioas.reserved.map((range) => ({
    first: toBigInt(range.startPage, range.startOffset),
    last: toBigInt(range.lastPage, range.lastOffset),
  }));
  const alignment = BigInt(ioas.alignment);
  let end = -1n;
  someArea(areas, (slot) => {
    const first = toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!);
    const last = toBigInt(areas.lastPage[slot]!, areas.lastOffset[slot]!);
    const name = `IOAS ${ioas.id}: area 0x${first.toString(16)}`;
    if (first <= end || last < first) wrong(`${name} overlaps the one before or is empty`);
    if (reserved.some((range) => range.first <= last && first <= range.last)) wrong(`${name} is reserved`);
    if (first % alignment !== 0n || (last + 1n) % alignment !== 0n)
      wrong(`${name} is not aligned to ${alignment}`);
    const pages = areas.pages[slot]!;
    references.set(pages, (references.get(pages) ?? 0) + 1);
    end = last;
    return false;
  });
}

function checkPages(kernel: Kernel, references: ReadonlyMap<number, number>, wrong: Report): void {
  const { pages } = kernel;
  const free = freePages(pages);
  const live = Array.from({ length: pages.slotCount }, (_, slot) => slot).filter((slot) => !free.has(slot));
  if (!isSame(live, [...references.keys()]))
    wrong(`pages ${live} are live, ${[...references.keys()]} are used`);
  for (const [slot, count] of references) {
    if (pages.refs[slot] !== count) wrong(`pages ${slot}: ${pages.refs[slot]} references, not ${count}`);
  }
  for (const slot of pages.accessNodes.keys())
    if (!references.has(slot)) wrong(`freed pages ${slot} are pinned`);
}

/**
 * Everything that is wrong with a state.
 * @param leaked IovaSpaces that may be there still though their context is gone.
 * @param lost Devices as "context:id" whose reserved ranges may be missing.
 */
export function violationsOf(
  kernel: Kernel,
  leaked: ReadonlySet<number> = new Set(),
  lost: ReadonlySet<string> = new Set(),
): string[] {
  const found: string[] = vfioViolations(kernel);
  const wrong: Report = (says) => void found.push(says);
  const references = new Map<number, number>();
  const spaces: number[] = [];
  checkFiles(kernel, wrong);
  for (const context of Object.values(kernel.state.contexts)) {
    checkUsers(kernel, context, wrong);
    checkFileReferences(kernel, context, wrong);
    checkGroups(context, wrong);
    for (const object of Object.values(context.objects)) {
      if (object.type !== 'ioas') continue;
      spaces.push(object.space);
      checkLists(kernel, context, object, lost, wrong);
      checkAreas(kernel, object, references, wrong);
    }
  }
  for (const [key, space] of kernel.spaces) {
    if (!leaked.has(key)) continue;
    spaces.push(key);
    countLeaked(space, references);
  }
  if (!isSame([...kernel.spaces.keys()], spaces)) wrong(`spaces ${[...kernel.spaces.keys()]}, not ${spaces}`);
  checkPages(kernel, references, wrong);
  return found;
}

/** What is left of a state, by name: nothing, once every descriptor is closed. */
export function leftoversOf(kernel: Kernel): Readonly<Record<string, number>> {
  const { state, spaces, pages, dirty } = kernel;
  return {
    contexts: Object.keys(state.contexts).length,
    files: Object.keys(state.files).length,
    spaces: spaces.size,
    pages: pages.slotCount - freePages(pages).size,
    pins: pages.accessNodes.size,
    dirtyBits: dirty.size,
    dmabufs: Object.keys(state.dmabufs).length,
    windows: state.windows.length,
    vfioUsers: vfioUsers(kernel),
  };
}
