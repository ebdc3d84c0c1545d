import { type Kernel, locatePage, type PageIdentity, pageAt } from '../../src/model/index.ts';
import type { Call, MmapCall } from '../../src/trace/index.ts';

/**
 * Names of user memory that do not change from run to run: a page is named after the mapping that it belongs
 * to, and a mapping after how it came to be: its length, protection, flags and what it maps, and the
 * how-manieth of these it is. Memory that no record mentions is cut into pieces that were used together,
 * each named after the first range of it that anybody used: pieces are moved as a whole, and each on its
 * own.
 */
export interface MemoryRoles {
  /** Names by object of UserMemory. */
  readonly names: Map<number, string>;
  /** How many mappings there were of each kind. */
  readonly counts: Map<string, number>;
  /** Pieces of memory that no record mentions, by object, ascending. */
  readonly pieces: Map<number, Piece[]>;
}

/**
 * Pages first..last of an address space; what is used close to it belongs to it, too, and makes it larger.
 */
export interface Piece {
  first: number;
  last: number;
  /** Page that is counted from. */
  readonly base: number;
  readonly name: string;
}

/** A page by its role. */
export interface PageRole {
  readonly name: string;
  /** Of what the name stands for, in pages of 4096 bytes. */
  readonly page: number;
}

export function createMemoryRoles(): MemoryRoles {
  return { names: new Map(), counts: new Map(), pieces: new Map() };
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

/** The role of a page of an iopt_pages, by its index there; `pageCount`: how many are used with it. */
export function roleOfPage(
  roles: MemoryRoles,
  kernel: Kernel,
  pages: number,
  index: number,
  pageCount = 1,
): PageRole {
  const mm = kernel.pages.mm[pages]!;
  return roleOf(roles, kernel, mm, pageAt(kernel, pages, index), pageCount);
}

/** The role of a user page of an address space now. */
export function roleOfUserPage(
  roles: MemoryRoles,
  kernel: Kernel,
  mm: number,
  page: number,
  pageCount = 1,
): PageRole {
  return roleOf(roles, kernel, mm, locatePage(kernel.memory, mm, page), pageCount);
}

function roleOf(
  roles: MemoryRoles,
  kernel: Kernel,
  mm: number,
  { object, page }: PageIdentity,
  pageCount: number,
): PageRole {
  const space = kernel.memory.spaces[mm];
  if (space !== undefined && !space.isFile && object === space.anonymous) {
    const { name, base } = pieceAt(roles, object, page, page + pageCount - 1);
    return { name, page: page - base };
  }
  let name = roles.names.get(object);
  if (name === undefined) {
    name = numbered(roles, space?.isFile ? 'memory file' : 'mapping');
    roles.names.set(object, name);
  }
  return { name, page };
}

/** The role of a page of an object that somebody has used before; without a name it is told by neither. */
export function roleOfIdentity({ names, pieces }: MemoryRoles, object: number, page: number): PageRole {
  const piece = pieces.get(object)?.findLast(({ first }) => first <= page);
  if (piece !== undefined) return { name: piece.name, page: page - piece.base };
  return { name: names.get(object) ?? 'memory', page };
}

/** What is closer than 1 MiB belongs together. */
const CLOSE_PAGES = 256;

/** The piece that a range lies in, or that it makes. */
function pieceAt(roles: MemoryRoles, object: number, first: number, last: number): Piece {
  let own = roles.pieces.get(object);
  if (own === undefined) {
    own = [];
    roles.pieces.set(object, own);
  }
  let low = 0;
  let high = own.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (own[middle]!.first <= first) low = middle + 1;
    else high = middle;
  }
  const below = own[low - 1];
  const above = own[low];
  if (below !== undefined && first <= below.last + CLOSE_PAGES) {
    const room = above === undefined ? last : Math.min(last, above.first - 1);
    if (room > below.last) below.last = room;
    return below;
  }
  if (above !== undefined && last >= above.first - CLOSE_PAGES) {
    above.first = first;
    return above;
  }
  const bytes = BigInt(last - first + 1) * 4096n;
  const name = numbered(roles, `unrecorded memory of 0x${bytes.toString(16)} bytes`);
  const piece: Piece = { first, last, base: first, name };
  own.splice(low, 0, piece);
  return piece;
}

export function roleText({ name, page }: PageRole): string {
  const sign = page < 0 ? '-' : '+';
  return `${name} ${sign} 0x${(BigInt(Math.abs(page)) * 4096n).toString(16)}`;
}
