import {
  CMD,
  type Field,
  findIoctl,
  IOMMU_TEST_OP,
  IOMMU_VFIO_IOAS_OP,
  type Refers,
  type StructLayout,
  type UnionCase,
} from '../../uapi/index.ts';
import type { IoctlCall } from '../call.ts';

/** What kind of number stands somewhere: each kind has numbers of its own. */
export type SiteRole = 'object' | 'descriptor' | 'access-pages' | 'address' | 'iova';

/** A place in the struct of an ioctl that holds a number the kernel gave, or an address of the caller. */
export interface Site {
  readonly role: SiteRole;
  /** Name of the field. */
  readonly field: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly bytes: 4 | 8;
  /** The caller gives it, the kernel answers it, or both. */
  readonly dir: Field['dir'];
  readonly refers: Refers;
  /**
   * An answer in it may name something that was there before: an ATTACH answers the page table that the
   * kernel chose. Every other answer names something new.
   */
  readonly mayBeKnown: boolean;
}

const ROLES: Readonly<Partial<Record<Refers, SiteRole>>> = {
  ioas: 'object',
  device: 'object',
  hwpt: 'object',
  pt: 'object',
  fault: 'object',
  viommu: 'object',
  vdevice: 'object',
  veventq: 'object',
  'hw-queue': 'object',
  object: 'object',
  'selftest-device': 'object',
  'access-pages': 'access-pages',
  fd: 'descriptor',
  va: 'address',
  iova: 'iova',
};

/** Operations of the selftest whose `id` is a descriptor, and those that do not look at it. */
const ID_IS_DESCRIPTOR: ReadonlySet<number> = new Set([
  IOMMU_TEST_OP.DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP.ACCESS_PAGES,
  IOMMU_TEST_OP.ACCESS_RW,
  IOMMU_TEST_OP.ACCESS_REPLACE_IOAS,
]);
const ID_IS_NOTHING: ReadonlySet<number> = new Set([
  IOMMU_TEST_OP.MD_CHECK_REFS,
  IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_OP.TRIGGER_IOPF,
  IOMMU_TEST_OP.TRIGGER_VEVENT,
  IOMMU_TEST_OP.DMABUF_GET,
  IOMMU_TEST_OP.DMABUF_REVOKE,
]);
/** Offset of `op` in IOMMU_VFIO_IOAS, and of the operation in IOMMU_TEST_CMD. */
const VFIO_IOAS_OP_AT = 8;
const TEST_OP_AT = 4;

const NO_SITES: readonly Site[] = [];
const cache = new Map<string, readonly Site[]>();

/**
 * The sites of a call's struct, ascending by offset; only those that its bytes hold. Layouts come from the
 * tables of `src/uapi`; what a table cannot say (a field that means different things by operation) stands
 * here.
 */
export function sitesOf(call: IoctlCall): readonly Site[] {
  const { arg } = call;
  const entry = findIoctl(call.kind, call.cmd);
  if (arg === null || entry === undefined) return NO_SITES;
  if (entry.layout === null) return NO_SITES;
  const selector = selectorOf(entry.layout, arg);
  const operation = entry.cmd === CMD.IOMMU_VFIO_IOAS ? wordAt(arg, VFIO_IOAS_OP_AT, 2) : 0;
  const key = `${call.kind} ${call.cmd} ${arg.length} ${selector ?? '-'} ${operation}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const sites = findSites(entry.cmd, entry.layout, arg, selector, operation);
  // A program can make endlessly many lengths and selectors: the cache is for those that come again.
  if (cache.size < 4096) cache.set(key, sites);
  return sites;
}

function findSites(
  cmd: number,
  layout: StructLayout,
  arg: Uint8Array,
  selector: number | null,
  operation: number,
): readonly Site[] {
  const sites = layout.fields.flatMap((field) => fieldSites(field, 0, arg.length, cmd));
  const member = memberOf(layout, selector);
  if (member !== null && layout.union !== undefined) {
    const base = layout.union.offset;
    sites.push(...member.fields.flatMap((field) => fieldSites(field, base, arg.length, cmd)));
  }
  const checked = sites.flatMap((site) => special(cmd, arg, site, operation));
  return checked.sort((one, other) => one.offset - other.offset);
}

function fieldSites(field: Field, base: number, lengthBytes: number, cmd: number): Site[] {
  const role = field.refers === undefined ? undefined : ROLES[field.refers];
  if (role === undefined || field.refers === undefined) return [];
  const bytes = field.kind === 'u64' || field.kind === 'u64[]' ? 8 : 4;
  const from = base + field.offset;
  const room = Math.floor((lengthBytes - from) / bytes);
  const count = Math.min(room, field.count === 'rest' ? room : (field.count ?? 1));
  const mayBeKnown = field.dir === 'inout' || (isMockDomain(cmd) && field.name === 'out_hwpt_id');
  return Array.from({ length: Math.max(0, count) }, (_, index) => ({
    role,
    field: field.name,
    offset: from + index * bytes,
    bytes,
    dir: field.dir,
    refers: field.refers!,
    mayBeKnown,
  }));
}

const isMockDomain = (cmd: number): boolean => cmd === CMD.IOMMU_TEST_CMD;

/** A site as the operation means it. */
function special(cmd: number, arg: Uint8Array, site: Site, operation: number): readonly Site[] {
  if (cmd === CMD.IOMMU_TEST_CMD && site.field === 'id' && site.offset === 8) {
    const op = wordAt(arg, TEST_OP_AT, 4);
    if (ID_IS_NOTHING.has(op)) return [];
    return [ID_IS_DESCRIPTOR.has(op) ? { ...site, role: 'descriptor', refers: 'fd' } : site];
  }
  if (cmd === CMD.IOMMU_VFIO_IOAS && site.field === 'ioas_id') {
    if (operation === IOMMU_VFIO_IOAS_OP.GET) return [{ ...site, dir: 'out', mayBeKnown: true }];
    return operation === IOMMU_VFIO_IOAS_OP.SET ? [{ ...site, dir: 'in' }] : [];
  }
  // A window's offset or a lone number may stand in a field of a type that the driver does not know.
  return [site];
}

function memberOf(layout: StructLayout, selector: number | null): UnionCase | null {
  if (layout.union === undefined || selector === null) return null;
  return layout.union.cases[selector] ?? null;
}

function selectorOf(layout: StructLayout, arg: Uint8Array): number | null {
  const { union } = layout;
  if (union === undefined) return null;
  const field = layout.fields.find(({ name }) => name === union.selector);
  if (field === undefined || field.offset + 4 > arg.length) return null;
  const value = wordAt(arg, field.offset, 4);
  return union.mask === undefined ? value : (value & union.mask) >>> 0;
}

/** A little-endian number of 2 or 4 bytes; 0 where the struct is too short for it. */
export function wordAt(bytes: Uint8Array, offset: number, width: 2 | 4): number {
  if (offset + width > bytes.length) return 0;
  const low = bytes[offset]! | (bytes[offset + 1]! << 8);
  if (width === 2) return low;
  return (low | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}

/** The address or number at a site. */
export function valueAt(bytes: Uint8Array, site: Site): bigint {
  if (site.offset + site.bytes > bytes.length) return 0n;
  const low = BigInt(wordAt(bytes, site.offset, 4));
  return site.bytes === 4 ? low : low | (BigInt(wordAt(bytes, site.offset + 4, 4)) << 32n);
}

/** Writes a number at a site. */
export function setValueAt(bytes: Uint8Array, site: Site, value: bigint): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (site.bytes === 8) view.setBigUint64(site.offset, BigInt.asUintN(64, value), true);
  else view.setUint32(site.offset, Number(BigInt.asUintN(32, value)), true);
}
