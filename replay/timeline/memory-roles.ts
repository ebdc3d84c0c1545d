import { type Kernel, locatePage, type PageIdentity, pageAt } from '../../src/model/index.ts';
import type { Call, MmapCall } from '../../src/trace/index.ts';

/**
 * Names of user memory that do not change from run to run: a page is named after the mapping that it belongs
 * to, and a mapping after how it came to be: its length, protection, flags and what it maps, and the how-manieth
 * of these it is. Memory that no record mentions is counted from the first page of it that anybody used: what
 * address space layout randomisation moves, it moves as a whole.
 */
export interface MemoryRoles {
  /** Names by object of UserMemory. */
  readonly names: Map<number, string>;
  /** How many mappings there were of each kind. */
  readonly counts: Map<string, number>;
  /** First page used of memory that no record mentions, by object and region. */
  readonly firstPages: Map<string, number>;
}

/** A page by its role. */
export interface PageRole {
  readonly name: string;
  /** Of what the name stands for, in pages of 4096 bytes. */
  readonly page: number;
}

export function createMemoryRoles(): MemoryRoles {
  return { names: new Map(), counts: new Map(), firstPages: new Map() };
}

/** Names what a record has just mapped. */
export function noteMapping(roles: MemoryRoles, kernel: Kernel, call: Call): void {
  if (call.op !== 'mmap' || call.mapped === null || call.len === 0n) return;
  const process = kernel.state.processes[call.pid];
  if (process === undefined) return;
  const { object } = locatePage(kernel.memory, process.mm, Number(call.mapped >> 12n));
  if (roles.names.has(object)) return;
  const kind = kindOf(call);
  roles.names.set(object, numbered(roles, kind));
}

function numbered({ counts }: MemoryRoles, kind: string): string {
  const count = (counts.get(kind) ?? 0) + 1;
  counts.set(kind, count);
  return count === 1 ? kind : `${kind} no. ${count}`;
}

const MAP_SHARED = 1n;
const MAP_ANONYMOUS = 0x20n;
const MAP_HUGETLB = 0x40000n;

function kindOf({ len, prot, flags, fd, kind, off }: MmapCall): string {
  const access = `${(prot & 1) === 0 ? '-' : 'r'}${(prot & 2) === 0 ? '-' : 'w'}`;
  const sharing = (flags & MAP_SHARED) === 0n ? 'private' : 'shared';
  const huge = (flags & MAP_HUGETLB) === 0n ? '' : ' huge';
  const isFile = fd >= 0 && (flags & MAP_ANONYMOUS) === 0n;
  const of = isFile ? `${kind === '?' ? 'file' : kind}+0x${off.toString(16)}` : 'anonymous';
  return `${sharing}${huge} ${access} mapping of 0x${len.toString(16)} bytes (${of})`;
}

/** The role of a page of an iopt_pages, by its index there. */
export function roleOfPage(roles: MemoryRoles, kernel: Kernel, pages: number, index: number): PageRole {
  const mm = kernel.pages.mm[pages]!;
  return roleOf(roles, kernel, mm, pageAt(kernel, pages, index));
}

/** The role of a user page of an address space now. */
export function roleOfUserPage(roles: MemoryRoles, kernel: Kernel, mm: number, page: number): PageRole {
  return roleOf(roles, kernel, mm, locatePage(kernel.memory, mm, page));
}

function roleOf(roles: MemoryRoles, kernel: Kernel, mm: number, { object, page }: PageIdentity): PageRole {
  const space = kernel.memory.spaces[mm];
  if (space !== undefined && !space.isFile && object === space.anonymous) {
    const region = regionOf(page);
    const key = `${object} ${region}`;
    let first = roles.firstPages.get(key);
    if (first === undefined) {
      first = page;
      roles.firstPages.set(key, page);
      roles.names.set(object, roles.names.get(object) ?? numbered(roles, 'unrecorded memory'));
    }
    return { name: `${roles.names.get(object)}, ${region}`, page: page - first };
  }
  let name = roles.names.get(object);
  if (name === undefined) {
    name = numbered(roles, space?.isFile ? 'memory file' : 'mapping');
    roles.names.set(object, name);
  }
  return { name, page };
}

/** 2^44 bytes: what is moved as one thing lies between two multiples of it. */
const REGION_PAGES = 2 ** 32;
/** Where stacks begin on x86_64: 0x7ffb00000000. */
const STACK_PAGE = 0x7ffb00000;

/** A part of the address space that is moved as one: image and heap, libraries and mappings, the stack. */
function regionOf(page: number): string {
  if (page >= STACK_PAGE && page < 2 ** 35) return 'stack';
  return `region ${Math.floor(page / REGION_PAGES).toString(16)}`;
}

export function roleText({ name, page }: PageRole): string {
  const sign = page < 0 ? '-' : '+';
  return `${name} ${sign} 0x${(BigInt(Math.abs(page)) * 4096n).toString(16)}`;
}
