import type { Call, MmapCall, MunmapCall, Note, OtherCall, ReadCall, WriteCall } from '../call.ts';
import { linksOfApiCall } from './api-links.ts';
import { linksOfIoctl } from './ioctl-links.ts';
import { linksOfNames } from './named-links.ts';
import type { CallLinks, Link, Resource } from './resource.ts';
import { wordAt } from './site.ts';
import {
  beginProcess,
  createWorld,
  type Descriptor,
  type InitialMemory,
  linkTo,
  linkToAddress,
  newContext,
  newResource,
  openDescriptor,
  type TracedProcess,
  type World,
} from './world.ts';

/** Follows the resources of a trace: give it every record, in order. */
export interface ResourceTracker {
  /** Links of the next record. */
  next(call: Call): CallLinks;
  /** All resources so far, by index. */
  readonly resources: readonly Resource[];
  /** The parts of a range in which a process has no memory that is known of. */
  gaps(pid: number, start: bigint, lengthBytes: bigint): readonly InitialMemory[];
}

const NO_LINKS: CallLinks = { uses: [], gives: [], ends: [], begins: null };
const MAP_FIXED = 0x10n;
/** `sizeof(struct iommu_hwpt_pgfault)`, `sizeof(struct iommu_hwpt_page_response)`, and their `cookie`. */
const FAULT_BYTES = 40;
const FAULT_COOKIE_AT = 36;
const RESPONSE_BYTES = 8;

/**
 * Makes a tracker. It goes by what the kernel answered: a number is that of the resource which the last
 * successful call gave it to. A process that was not seen before is a copy of the one that acted last.
 * @param initial Memory of the first process that no record of the trace maps.
 */
export function createResourceTracker(initial: readonly InitialMemory[] = []): ResourceTracker {
  const world = createWorld(initial);
  return {
    resources: world.resources,
    gaps: (pid, start, lengthBytes) =>
      (world.processes.get(pid)?.memory ?? world.initialMemory).gaps(start, lengthBytes),
    next(call) {
      const isNew = !world.processes.has(call.pid);
      const parent = isNew ? world.lastPid : null;
      const process = isNew ? beginProcess(world, call.pid, parent) : world.processes.get(call.pid)!;
      world.lastPid = call.pid;
      const told = linksOf(world, process, call);
      const links = { ...told, ...linksOfNames(world, call, told) };
      return isNew ? { ...links, begins: { pid: call.pid, parent } } : links;
    },
  };
}

function linksOf(world: World, process: TracedProcess, call: Call): CallLinks {
  switch (call.op) {
    case 'ioctl':
      return linksOfIoctl(world, process, call);
    case 'open': {
      const fd = call.replied ? call.ret : call.fd;
      if (fd < 0) return NO_LINKS;
      const opened = openDescriptor(world, process, call.kind, fd, call.seq, newContext(call.kind));
      return { ...NO_LINKS, gives: [linkTo(opened.resource, { at: 'ret' })] };
    }
    case 'close': {
      const closed = process.descriptors.get(call.fd);
      if (closed === undefined) return NO_LINKS;
      process.descriptors.delete(call.fd);
      const isLast = [...world.processes.values()].every(
        ({ descriptors }) => descriptors.get(call.fd) !== closed,
      );
      return {
        ...NO_LINKS,
        uses: [linkTo(closed.resource, { at: 'fd' })],
        ends: isLast ? [closed.resource] : [],
      };
    }
    case 'mmap':
      return linksOfMmap(world, process, call);
    case 'munmap':
      return linksOfMunmap(process, call);
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return linksOfTransfer(world, process, call);
    case 'fork':
      if (call.child <= 0 || world.processes.has(call.child)) return NO_LINKS;
      beginProcess(world, call.child, call.pid);
      return { ...NO_LINKS, begins: { pid: call.child, parent: call.pid } };
    case 'note':
      return { ...NO_LINKS, uses: linksOfNote(process, call) };
    case 'call':
      return linksOfApiCall(world, process, call);
    case 'memfd_create':
    case 'ftruncate':
    case 'poll':
      return linksOfOther(world, process, call);
    default:
      return NO_LINKS;
  }
}

function linksOfMmap(world: World, process: TracedProcess, call: MmapCall): CallLinks {
  const uses: Link[] = [];
  const behind = process.descriptors.get(call.fd);
  if (call.fd >= 0 && behind !== undefined) uses.push(linkTo(behind.resource, { at: 'fd' }));
  if ((call.flags & MAP_FIXED) !== 0n) uses.push(...linkToAddress(process, call.addr, { at: 'addr' }));
  if (call.mapped === null) return { ...NO_LINKS, uses };
  const fixed = uses.find(({ place }) => place.at === 'addr');
  // A new mapping inside an old one stays part of it, so that addresses in both keep their distance.
  if (fixed !== undefined && fixed.delta + call.len <= fixed.resource.lengthBytes)
    return { ...NO_LINKS, uses };
  const memory = newResource(world, 'memory', 'memory', call.mapped, call.seq, call.len);
  process.memory.map(call.mapped, call.len, memory);
  return { ...NO_LINKS, uses, gives: [linkTo(memory, { at: 'ret' })] };
}

function linksOfMunmap(process: TracedProcess, call: MunmapCall): CallLinks {
  const uses = linkToAddress(process, call.addr, { at: 'addr' });
  if (call.replied && call.ret === -1) return { ...NO_LINKS, uses };
  return { ...NO_LINKS, uses, ends: process.memory.unmap(call.addr, call.len) };
}

function linksOfTransfer(world: World, process: TracedProcess, call: ReadCall | WriteCall): CallLinks {
  const on = process.descriptors.get(call.fd) ?? null;
  const uses = on === null ? [] : [linkTo(on.resource, { at: 'fd' })];
  uses.push(...linkToAddress(process, call.addr, { at: 'addr' }));
  const gives: Link[] = [];
  if (on !== null && call.kind === 'fault') {
    if (call.op === 'read') gives.push(...cookiesRead(world, on, call));
    if (call.op === 'write') uses.push(...cookiesWritten(on, call));
  }
  return { ...NO_LINKS, uses, gives };
}

/** The numbers of page requests that a read of a fault queue tells. */
function cookiesRead(world: World, queue: Descriptor, call: ReadCall | WriteCall): Link[] {
  const bytes = call.op === 'read' ? call.out : null;
  if (!(bytes instanceof Uint8Array) || !call.replied || call.ret <= 0) return [];
  const links: Link[] = [];
  for (let at = 0; at + FAULT_BYTES <= Math.min(call.ret, bytes.length); at += FAULT_BYTES) {
    const cookie = wordAt(bytes, at + FAULT_COOKIE_AT, 4);
    const resource = newResource(world, 'cookie', 'cookie', BigInt(cookie), call.seq);
    queue.numbers.set(cookie, resource);
    links.push(linkTo(resource, { at: 'bytes', offset: at + FAULT_COOKIE_AT }));
  }
  return links;
}

/** The numbers of page requests that a write to a fault queue answers. */
function cookiesWritten(queue: Descriptor, call: ReadCall | WriteCall): Link[] {
  const bytes = call.op === 'write' ? call.arg : null;
  if (!(bytes instanceof Uint8Array)) return [];
  const links: Link[] = [];
  for (let at = 0; at + RESPONSE_BYTES <= bytes.length; at += RESPONSE_BYTES) {
    const resource = queue.numbers.get(wordAt(bytes, at, 4));
    if (resource !== undefined) links.push(linkTo(resource, { at: 'bytes', offset: at }));
  }
  return links;
}

function linksOfNote(process: TracedProcess, { fields }: Note): Link[] {
  const va = fields['va'];
  if (typeof va !== 'string' || !/^0x[0-9a-f]{1,16}$/i.test(va)) return [];
  return linkToAddress(process, BigInt(va), { at: 'addr' });
}

function linksOfOther(world: World, process: TracedProcess, call: OtherCall): CallLinks {
  const fd = Number(call.fields['fd'] ?? -1);
  if (call.op === 'memfd_create') {
    const made = Number(call.fields['ret'] ?? fd);
    if (made < 0) return NO_LINKS;
    const opened = openDescriptor(world, process, 'memfd', made, call.seq, null);
    return { ...NO_LINKS, gives: [linkTo(opened.resource, { at: 'ret' })] };
  }
  const on = process.descriptors.get(fd);
  return on === undefined ? NO_LINKS : { ...NO_LINKS, uses: [linkTo(on.resource, { at: 'fd' })] };
}
