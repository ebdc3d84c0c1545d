import { type AddressSpace, createAddressSpace } from './address-space.ts';
import type { Link, Place, Resource, ResourceType } from './resource.ts';

/** Objects of an open of /dev/iommu, by id. An id that is given again replaces the one before. */
export interface ContextIds {
  readonly objects: Map<number, Resource>;
}

/** An open descriptor. */
export interface Descriptor {
  readonly resource: Resource;
  /** Whose ids its calls name; null while it has none (a device that is not bound). */
  context: ContextIds | null;
  /** Pinned pages of an access, and page requests of a fault queue, by number. */
  readonly numbers: Map<number, Resource>;
}

/** A process as far as it was recorded. */
export interface TracedProcess {
  readonly descriptors: Map<number, Descriptor>;
  readonly memory: AddressSpace;
}

/** All that a tracker knows. */
export interface World {
  readonly resources: Resource[];
  readonly processes: Map<number, TracedProcess>;
  /** The process of the record before; the one that an unknown process is a copy of. */
  lastPid: number | null;
  /** Ids of the functions inside the kernel, which are called on no descriptor. */
  readonly functionIds: ContextIds;
  /** Resources of numbers that are named and not told, by name. */
  readonly named: Map<string, Resource>;
  /** IOVAs that the kernel chose, by the index of IOAS, HWPT or access: those of one IOAS are one map. */
  readonly chosenIovas: Map<number, AddressSpace>;
  /** What the first process finds in its memory. */
  readonly initialMemory: AddressSpace;
}

/** Stretches of memory that are there before the trace begins. */
export interface InitialMemory {
  readonly start: bigint;
  readonly lengthBytes: bigint;
}

export function createWorld(initial: readonly InitialMemory[]): World {
  const world: World = {
    resources: [],
    processes: new Map(),
    lastPid: null,
    functionIds: { objects: new Map() },
    named: new Map(),
    chosenIovas: new Map(),
    initialMemory: createAddressSpace(),
  };
  for (const { start, lengthBytes } of initial) {
    world.initialMemory.map(
      start,
      lengthBytes,
      newResource(world, 'memory', 'memory', start, null, lengthBytes),
    );
  }
  return world;
}

export function newResource(
  world: World,
  type: ResourceType,
  kind: string,
  recorded: bigint,
  madeBy: number | null,
  lengthBytes = 0n,
): Resource {
  const resource = { index: world.resources.length, type, kind, recorded, lengthBytes, madeBy };
  world.resources.push(resource);
  return resource;
}

/** Makes a process with what its parent has. */
export function beginProcess(world: World, pid: number, parentPid: number | null): TracedProcess {
  const parent = parentPid === null ? undefined : world.processes.get(parentPid);
  const process = {
    descriptors: new Map(parent?.descriptors ?? []),
    memory: (parent?.memory ?? world.initialMemory).copy(),
  };
  world.processes.set(pid, process);
  return process;
}

/** Makes a descriptor under its number. */
export function openDescriptor(
  world: World,
  process: TracedProcess,
  kind: string,
  fd: number,
  madeBy: number | null,
  context: ContextIds | null,
): Descriptor {
  const resource = newResource(world, 'descriptor', kind, BigInt(fd), madeBy);
  const descriptor = { resource, context, numbers: new Map<number, Resource>() };
  process.descriptors.set(fd, descriptor);
  return descriptor;
}

/** A link to a resource as a whole; to memory, to its start. */
export function linkTo(resource: Resource, place: Place): Link {
  return { resource, place, delta: 0n };
}

/** A link to the memory behind an address; none where nothing is known to lie. */
export function linkToAddress(process: TracedProcess, address: bigint, place: Place): Link[] {
  const placed = process.memory.find(address);
  return placed === null ? [] : [{ resource: placed.memory, place, delta: placed.delta }];
}

/** The IOVAs that the kernel chose in the IOAS that this is, or belongs to. */
export function chosenIovasOf({ chosenIovas }: World, owner: Resource): AddressSpace {
  const known = chosenIovas.get(owner.index);
  if (known !== undefined) return known;
  const made = createAddressSpace();
  chosenIovas.set(owner.index, made);
  return made;
}

/** The ids that begin with a descriptor of this kind. */
export function newContext(kind: string): ContextIds | null {
  return kind === 'iommufd' || kind === 'container' ? { objects: new Map() } : null;
}
