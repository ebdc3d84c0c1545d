import type { Refusal } from '../reason.ts';
import { devicesOn } from './attachments.ts';
import { deviceOf } from './binding.ts';
import { type ProposalCall, wideArg } from './call.ts';
import { chargePages, exceedsLimit, isPinned, isRegistered } from './locked-memory.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import {
  MAP_ALIGNMENT,
  MAP_LIMIT,
  MAP_LOCKED,
  MAP_OVERLAP,
  MAP_PERMISSION,
  MAP_RANGE,
  NOT_A_REGISTRATION,
  NOT_REGISTERED,
  REGISTER_LOCKED,
  REGISTER_TWICE,
  REGISTERED_IN_USE,
  UNMAP_ALL_RANGE,
  UNMAP_CUTS,
} from './reasons-memory.ts';
import type { Ioas, Mapping, ProposalFile, Registration, UserRange } from './state.ts';

/** Mappings with the rules of VFIO's type1 v2, and memory that was registered before. */

const PAGE = 4096n;
const U64_COUNT = 1n << 64n;
/** `dma_entry_limit`. */
const MAPPINGS_MAX = 65_535;
export const MAP_READ = 1;
export const MAP_WRITE = 2;
export const UNMAP_ALL = 2;

/** What a map call asks for. */
export interface MapRequest {
  readonly iova: bigint;
  readonly target: bigint;
  readonly size: bigint;
  readonly flags: number;
}

/** `iova`, `vaddr`, `size` and the access of a map call by name; null when something is missing. */
export function mapArguments(call: ProposalCall): MapRequest | null {
  const [iova, target, size] = [wideArg(call, 'iova'), wideArg(call, 'vaddr'), wideArg(call, 'size')];
  if (iova === null || target === null || size === null) return null;
  const { prot = 'rw' } = call.args;
  const flags =
    typeof prot === 'string' ? (prot.includes('r') ? MAP_READ : 0) | (prot.includes('w') ? MAP_WRITE : 0) : 0;
  return { iova, target, size, flags };
}

const isAligned = (value: bigint): boolean => value % PAGE === 0n;
const pageOf = (address: bigint): number => Number(address / PAGE);

/** `vfio_dma_do_map`, in its order of checks. */
export function mapRange(call: ProposalCall, iommu: ProposalFile, ioas: Ioas, request: MapRequest): Refusal {
  const { iova, target, size, flags } = request;
  if ((flags & (MAP_READ | MAP_WRITE)) === 0) return MAP_PERMISSION;
  if (size === 0n || !isAligned(iova) || !isAligned(target) || !isAligned(size)) return MAP_ALIGNMENT;
  if (iova + size > U64_COUNT || target + size > U64_COUNT) return MAP_ALIGNMENT;
  const map = {
    iovaPage: pageOf(iova),
    pages: pageOf(size),
    targetPage: pageOf(target),
    flags,
    owner: call.pid,
    lockedPages: 0,
  };
  const at = ioas.maps.findIndex((other) => other.iovaPage + other.pages > map.iovaPage);
  const next = ioas.maps[at];
  if (next !== undefined && next.iovaPage < map.iovaPage + map.pages) return MAP_OVERLAP;
  if (ioas.maps.length >= MAPPINGS_MAX) return MAP_LIMIT;
  if (!isPermitted(call, ioas, iova, iova + size - 1n)) return MAP_RANGE;
  // Once a descriptor registers memory, all its mappings are of registered memory.
  if (ioas.parent === null && iommu.registered.length > 0 && !isRegistered(iommu, map)) return NOT_REGISTERED;
  if (isPinned(call, ioas) && !isRegistered(iommu, map)) {
    if (exceedsLimit(call, call.pid, map.pages)) return MAP_LOCKED;
    chargePages(call, call.pid, map.pages);
    map.lockedPages = map.pages;
  }
  ioas.maps.splice(at < 0 ? ioas.maps.length : at, 0, map);
  return null;
}

/** Ranges: all that the address width allows, without what a device has reserved. */
function isPermitted(call: ProposalCall, ioas: Ioas, first: bigint, last: bigint): boolean {
  return devicesOn(ioas)
    .map((device) => deviceOf(call, device))
    .every(
      ({ addressWidth, reserved }) =>
        last < 1n << BigInt(addressWidth) && reserved.every(([from, to]) => last < from || first > to),
    );
}

/**
 * `vfio_dma_do_unmap`: removes whole mappings; answers the bytes removed, or a refusal. It ends without an
 * error at the first mapping that another process has made.
 */
export function unmapRange(
  call: ProposalCall,
  ioas: Ioas,
  iova: bigint,
  size: bigint,
  flags: number,
): { readonly bytes: bigint } | NonNullable<Refusal> {
  if ((flags & UNMAP_ALL) !== 0) {
    if (iova !== 0n || size !== 0n) return UNMAP_ALL_RANGE;
    return remove(call, ioas, () => true);
  }
  if (size === 0n || !isAligned(iova) || !isAligned(size) || iova + size > U64_COUNT) return MAP_ALIGNMENT;
  const [first, end] = [pageOf(iova), pageOf(iova + size)];
  const isCut = ioas.maps.some(({ iovaPage, pages }) =>
    [first, end].some((edge) => iovaPage < edge && edge < iovaPage + pages),
  );
  if (isCut) return UNMAP_CUTS;
  return remove(call, ioas, ({ iovaPage }) => iovaPage >= first && iovaPage < end);
}

function remove(
  call: ProposalCall,
  ioas: Ioas,
  isMeant: (map: Mapping) => boolean,
): { readonly bytes: bigint } {
  const stop =
    ioas.maps.find((map) => isMeant(map) && map.owner !== call.pid)?.iovaPage ?? Number.POSITIVE_INFINITY;
  const goes = (map: Mapping): boolean => isMeant(map) && map.iovaPage < stop;
  const gone = ioas.maps.filter(goes);
  ioas.maps = ioas.maps.filter((map) => !goes(map));
  for (const { owner, lockedPages } of gone) chargePages(call, owner, -lockedPages);
  return { bytes: gone.reduce((sum, { pages }) => sum + BigInt(pages) * PAGE, 0n) };
}

/** IOASID_REGISTER_MEMORY: pins and accounts memory once, whatever maps it later. */
export function registerMemory(call: ProposalCall, iommu: ProposalFile): Refusal {
  const range = rangeOf(call);
  if (range === null) return ARGUMENT_BAD;
  const isTwice = iommu.registered.some((other) => overlaps(other, range));
  if (isTwice) return REGISTER_TWICE;
  if (exceedsLimit(call, call.pid, range.pages)) return REGISTER_LOCKED;
  chargePages(call, call.pid, range.pages);
  iommu.registered.push({ ...range, owner: call.pid });
  return null;
}

/** IOASID_UNREGISTER_MEMORY: exactly what was registered, once nothing maps it any more. */
export function unregisterMemory(call: ProposalCall, iommu: ProposalFile): Refusal {
  const range = rangeOf(call);
  if (range === null) return ARGUMENT_BAD;
  const at = iommu.registered.findIndex(({ page, pages }) => page === range.page && pages === range.pages);
  if (at < 0) return NOT_A_REGISTRATION;
  const isUsed = Object.values(iommu.spaces)
    .filter(({ parent }) => parent === null)
    .some(({ maps }) => maps.some(({ targetPage, pages }) => overlaps({ page: targetPage, pages }, range)));
  if (isUsed) return REGISTERED_IN_USE;
  const [{ owner, pages }] = iommu.registered.splice(at, 1) as [Registration];
  chargePages(call, owner, -pages);
  return null;
}

function rangeOf(call: ProposalCall): UserRange | null {
  const [vaddr, size] = [wideArg(call, 'vaddr'), wideArg(call, 'size')];
  if (vaddr === null || size === null || size === 0n || !isAligned(vaddr) || !isAligned(size)) return null;
  return vaddr + size > U64_COUNT ? null : { page: pageOf(vaddr), pages: pageOf(size) };
}

function overlaps(one: UserRange, other: UserRange): boolean {
  return one.page < other.page + other.pages && other.page < one.page + one.pages;
}

/**
 * The root's addresses behind a mapping of a nested space: what the kernel puts into the shadow table of
 * software nesting. Parts that no parent maps are left out.
 */
export function composed(iommu: ProposalFile, ioas: Ioas): Mapping[] {
  if (ioas.parent === null) return ioas.maps;
  const below = composed(iommu, iommu.spaces[ioas.parent]!);
  return ioas.maps.flatMap((map) =>
    below.flatMap((under) => {
      const first = Math.max(map.targetPage, under.iovaPage);
      const end = Math.min(map.targetPage + map.pages, under.iovaPage + under.pages);
      if (first >= end) return [];
      return [
        {
          iovaPage: map.iovaPage + (first - map.targetPage),
          pages: end - first,
          targetPage: under.targetPage + (first - under.iovaPage),
          flags: map.flags & under.flags,
          owner: map.owner,
          lockedPages: 0,
        },
      ];
    }),
  );
}
