import type { Site } from './site.ts';

/** What the kernel, or mmap, gave a number to. */
export type ResourceType = 'descriptor' | 'object' | 'access-pages' | 'cookie' | 'memory' | 'iova';

/**
 * Something that has a number: a descriptor, an object of a context, pinned pages of an access, a page
 * request, a stretch of user memory (its number is the address), or of IOVAs that the kernel chose. The same
 * number used again later is another resource.
 */
export interface Resource {
  /** Counted from 0 in the order of appearance in the trace. */
  readonly index: number;
  readonly type: ResourceType;
  /** `iommufd`, `device`, `ioas`, `hwpt` … as the user API calls it. */
  readonly kind: string;
  /** The number that was recorded. */
  readonly recorded: bigint;
  /** Bytes of memory or IOVAs; 0 for everything else. */
  readonly lengthBytes: bigint;
  /** The call that made it; null for what was there before the trace began. */
  readonly madeBy: number | null;
}

/** Where in a call a number of a resource stands. */
export type Place =
  /** In the struct of an ioctl. */
  | { readonly at: 'struct'; readonly site: Site }
  /** The descriptor that the call is made on. */
  | { readonly at: 'fd' }
  /** The return value, and a descriptor that the kernel installed beside it. */
  | { readonly at: 'ret' }
  | { readonly at: 'newfd' }
  /** The address of a read, write, mmap or munmap. */
  | { readonly at: 'addr' }
  /** The address of a recorded buffer, by its index. */
  | { readonly at: 'mem'; readonly index: number }
  /** An argument of a call by name. */
  | { readonly at: 'args'; readonly key: string }
  /** In the bytes of a read or write, as a little-endian u32. */
  | { readonly at: 'bytes'; readonly offset: number };

/** A number of a resource in a call. `delta`: bytes from the start of a stretch of memory, 0 otherwise. */
export interface Link {
  readonly resource: Resource;
  readonly place: Place;
  readonly delta: bigint;
}

/** What one call has to do with resources. */
export interface CallLinks {
  /** The caller names them. */
  readonly uses: readonly Link[];
  /** The kernel answers their numbers: new ones, and old ones that it names again. */
  readonly gives: readonly Link[];
  /** Gone after the call. */
  readonly ends: readonly Resource[];
  /** The process that begins with the call, and the one that it is a copy of (null: of none). */
  readonly begins: { readonly pid: number; readonly parent: number | null } | null;
}
