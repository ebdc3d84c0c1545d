import { armStage1 } from '../formats/arm-stage1.ts';
import { formatOf } from '../formats/index.ts';
import { parseContext } from '../smmu-context-descriptor.ts';
import type { NotedMemory } from '../smmu-guest-memory.ts';
import { guestGeometry } from '../smmu-guest-tables.ts';
import { guestConfig, guestEntry } from '../smmu-stream-table.ts';
import type { TableFormat } from '../table-format.ts';
import type { Span } from './entry.ts';
import { readGuestNow } from './guest-memory-now.ts';
import type { LiveDomain } from './live-domain.ts';

/** Walks a guest's own tables as they are now, in the memory that notes told of. */

export interface GuestLeaf extends Span {
  readonly kind: 'page';
  /** Guest's page that the leaf's first page translates to. */
  readonly ipaPage: number;
  readonly prot: number;
  readonly asid: number | null;
  readonly tables: readonly Span[];
}

export type GuestWalk =
  | GuestLeaf
  /** The guest translates nothing: the address goes to the second stage as it is. */
  | { readonly kind: 'bypass' }
  /** `tables`: those on the way to where it ended. */
  | { readonly kind: 'fault'; readonly asid: number | null; readonly tables: readonly Span[] }
  | { readonly kind: 'unknown' };

const FAULT = { kind: 'fault', asid: null, tables: [] } as const;
const UNKNOWN = { kind: 'unknown' } as const;

interface Root {
  readonly format: TableFormat;
  readonly base: bigint;
  readonly asid: number | null;
}

/** `data`: what user space gave for the nested HWPT; `driver`: of the IOMMU. */
export function walkGuestNow(
  driver: string,
  data: Uint8Array,
  parent: LiveDomain,
  noted: NotedMemory,
  page: number,
): GuestWalk {
  const root =
    driver === 'vtd' ? vtdRoot(data) : driver === 'smmuv3' ? smmuRoot(data, parent, noted) : UNKNOWN;
  if ('kind' in root) return root;
  return descend(root, parent, noted, page);
}

/** struct iommu_hwpt_vtd_s1: flags, pgtbl_addr, addr_width. */
function vtdRoot(data: Uint8Array): Root | typeof UNKNOWN {
  if (data.length < 20) return UNKNOWN;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const format = formatOf({
    format: 'vtd-fs',
    apertureLastPage: 2 ** (view.getUint32(16, true) - 12) - 1,
    pageSizes: 0x40201000n,
    kernel: 0,
    dirtyTracking: false,
    nestParent: false,
    enforceCoherency: false,
    hwInfoBit: () => null,
    stated: () => null,
  });
  return format === null ? UNKNOWN : { format, base: view.getBigUint64(8, true) & ~0xfffn, asid: null };
}

const CONTEXT_POINTER = ((1n << 52n) - 1n) & ~0x3fn;
const OUTPUT_BITS = 52;

/** A guest's stream table entry points to a context descriptor, which points to the table. */
function smmuRoot(
  data: Uint8Array,
  parent: LiveDomain,
  noted: NotedMemory,
): Root | Exclude<GuestWalk, GuestLeaf> {
  const guest = guestEntry(data);
  const config = guestConfig(guest);
  if (config !== 'stage1') return config === 'bypass' ? { kind: 'bypass' } : FAULT;
  const pointer = guest.first & CONTEXT_POINTER;
  const first = readGuestNow(parent, noted, pointer);
  const second = readGuestNow(parent, noted, pointer + 8n);
  if (first === 'unmapped' || second === 'unmapped') return FAULT;
  if (first === null || second === null) return UNKNOWN;
  const fields = parseContext(first, second);
  const geometry = guestGeometry(fields, OUTPUT_BITS);
  if (!fields.valid || fields.disabled || geometry === null) return FAULT;
  return { format: armStage1(geometry), base: fields.tableBase, asid: Number(first >> 48n) };
}

function descend(
  { format, base, asid }: Root,
  parent: LiveDomain,
  noted: NotedMemory,
  page: number,
): GuestWalk {
  const tables: Span[] = [];
  let at = base;
  for (let level = format.levels; level >= 1; level -= 1) {
    const item = 2 ** (format.itemShift(level) - 12);
    const entries = 2 ** format.indexBits(level);
    if (level === format.levels && page >= item * entries) return FAULT;
    const index = Math.floor(page / item) % entries;
    const word = readGuestNow(parent, noted, at + 8n * BigInt(index));
    if (word === 'unmapped') return { kind: 'fault', asid, tables };
    if (word === null) return UNKNOWN;
    const parsed = format.parse(word, level);
    if (parsed.kind === 'empty' || parsed.kind === 'reserved') return { kind: 'fault', asid, tables };
    if (parsed.kind === 'table') {
      const firstPage = page - (page % item);
      tables.push({ firstPage, lastPage: firstPage + item - 1 });
      at = format.tableAddress(word, level);
      continue;
    }
    const pages = 2 ** (parsed.shift - 12);
    const firstPage = page - (page % pages);
    const ipaPage = parsed.frame - (parsed.frame % pages);
    return {
      kind: 'page',
      ipaPage,
      firstPage,
      lastPage: firstPage + pages - 1,
      prot: parsed.prot,
      asid,
      tables,
    };
  }
  return FAULT;
}
