import { createLockedMemory, isNothingLocked, type LockedMemory } from './accounting-state.ts';
import { type AreaTable, createAreaTable, someArea } from './area-table.ts';
import { NO_EFFECTS } from './effects.ts';
import { mergeRanges } from './iova-space.ts';
import { createKernel, type Kernel } from './kernel.ts';
import type { Machine } from './machine.ts';
import type { AccessNode, ReplacedPages } from './pages-table.ts';
import type { Profile } from './profile.ts';
import type { ControlState } from './state.ts';
import type { AddressSpace, FileMemory, RuledPages, UserMemory } from './user-memory.ts';

/** Everything but areas and iopt_pages, as plain JSON: iopt_pages are named by their number in the order. */
export interface StateHead {
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
}

/** Keys of the IOVA spaces, in the order in which they are written. */
export function orderSpaces({ spaces }: Kernel): number[] {
  return [...spaces.keys()].sort((a, b) => a - b);
}

/** Number of each live iopt_pages, in the order in which the areas name them. */
export function orderPages(kernel: Kernel): Map<number, number> {
  const order = new Map<number, number>();
  for (const key of orderSpaces(kernel)) {
    const { areas } = kernel.spaces.get(key)!;
    someArea(areas, (slot) => {
      const pages = areas.pages[slot]!;
      if (!order.has(pages)) order.set(pages, order.size);
      return false;
    });
  }
  return order;
}

/** `order`: that of `orderPages`. */
export function headOf(kernel: Kernel, order: ReadonlyMap<number, number>): StateHead {
  const accessNodes = [...kernel.pages.accessNodes]
    .map(([slot, nodes]): [number, AccessNode[]] => [order.get(slot)!, [...nodes].sort(compareNodes)])
    .sort(([a], [b]) => a - b);
  const replaced = [...kernel.pages.replaced]
    .map(([slot, parts]): [number, ReplacedPages[]] => [
      order.get(slot)!,
      [...parts].sort((a, b) => a.first - b.first),
    ])
    .sort(([a], [b]) => a - b);
  return {
    control: controlHead(kernel.state),
    memory: memoryHead(kernel.memory),
    dirty: [...kernel.dirty]
      .sort(([a], [b]) => a - b)
      .map(([key, bits]): [number, number[]] => [key, [...bits].sort((a, b) => a - b)]),
    lastPid: kernel.lastPid,
    servesContainers: kernel.servesContainers,
    spaces: orderSpaces(kernel).map((key): [number, number] => [key, kernel.spaces.get(key)!.areas.count]),
    pageSets: order.size,
    accessNodes,
    replaced,
  };
}

function controlHead({ locked, ...control }: ControlState): StateHead['control'] {
  return isNothingLocked(locked) ? control : { ...control, locked };
}

function compareNodes(a: AccessNode, b: AccessNode): number {
  return a.first - b.first || a.last - b.last;
}

function memoryHead(memory: UserMemory): StateHead['memory'] {
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

/**
 * The kernel that a head was taken of. `fill` puts in the areas and iopt_pages, whose slots are then their
 * numbers in the order.
 */
export function kernelOf(
  head: StateHead,
  profile: Profile,
  machine: Machine,
  fill: (kernel: Kernel, areasOf: (key: number) => AreaTable) => void,
): Kernel {
  const kernel = createKernel(profile, head.servesContainers, NO_EFFECTS, machine);
  kernel.state = { ...head.control, locked: head.control.locked ?? createLockedMemory() };
  kernel.lastPid = head.lastPid;
  restoreMemory(kernel.memory, head.memory);
  for (const [key, bits] of head.dirty) kernel.dirty.set(key, new Set(bits));
  for (const [key, count] of head.spaces) {
    const areas = createAreaTable(Math.max(16, count));
    kernel.spaces.set(key, { areas, reserved: mergeRanges([]), allowed: mergeRanges([]) });
  }
  fill(kernel, (key) => kernel.spaces.get(key)!.areas);
  for (const [slot, nodes] of head.accessNodes) kernel.pages.accessNodes.set(slot, [...nodes]);
  for (const [slot, parts] of head.replaced) kernel.pages.replaced.set(slot, [...parts]);
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

function restoreMemory(memory: UserMemory, head: StateHead['memory']): void {
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
