import { ioasLifecycle } from '../../machines/index.ts';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_IOVA_RANGES,
  offsetsOf,
} from '../uapi/index.ts';
import { addWide, compareWide, readOffset, readPage, wide, writeWide } from './address.ts';
import { BAD_USER_POINTER, IOAS_NOT_FOUND, RESERVED_SET, UNKNOWN_FLAGS } from './check.ts';
import { setAllowed } from './iova-domains.ts';
import { hitsRange, holesOf, type IovaRange } from './iova-space.ts';
import { createSpaceFor, type Kernel, spaceOf } from './kernel.ts';
import { dropAllAreas } from './mapping.ts';
import { addObject, getObject, mustGet, nextId } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { knownBytes } from './user-bytes.ts';
import { fieldOffset, fieldPage, respond, setU32, setU64, u32 } from './user-call.ts';
import { canRespond, copyFromUser, copyToUser } from './user-copy.ts';

/** IOMMU_IOAS_ALLOC, _ALLOW_IOVAS and _IOVA_RANGES: ioas.c of iommufd. */

const ALLOC = offsetsOf(IOMMU_IOAS_ALLOC);
const ALLOW = offsetsOf(IOMMU_IOAS_ALLOW_IOVAS);
const RANGES = offsetsOf(IOMMU_IOAS_IOVA_RANGES);
/** sizeof(struct iommu_iova_range). */
const RANGE_BYTES = 16;

const RANGE_NOT_ASCENDING = reason(
  'allowed-range-not-ascending',
  'EINVAL',
  'ioas.c iommufd_ioas_load_iovas',
  'the start of an allowed range is not below its last address; a range of one byte is refused too',
);
const RANGES_OVERLAP = reason(
  'allowed-ranges-overlap',
  'EINVAL',
  'ioas.c iommufd_ioas_load_iovas',
  'two allowed ranges overlap',
);
const ALLOWED_RESERVED = reason(
  'allowed-range-reserved',
  'EADDRINUSE',
  'io_pagetable.c iopt_set_allow_iova',
  'an allowed range meets addresses that a device or page table of the IOAS can not use',
);
const BUFFER_TOO_SHORT = reason(
  'iova-ranges-buffer-too-short',
  'EMSGSIZE',
  'ioas.c iommufd_ioas_iova_ranges',
  'there are more ranges than the buffer holds; what was written is valid',
);

/** Makes an IOAS: `iommufd_ioas_alloc`. */
export function createIoas(kernel: Kernel, context: Context): Ioas {
  const ioas: Ioas = {
    type: 'ioas',
    id: nextId(context),
    users: 1,
    lifecycle: ioasLifecycle.initial,
    space: createSpaceFor(kernel),
    alignment: 1,
    largePagesOff: false,
    domains: [],
    hwpts: [],
    accesses: {},
    allowed: [],
    reserved: [],
  };
  addObject(kernel, context, ioas);
  return ioas;
}

/** `iommufd_ioas_destroy`: the areas go with it. */
export function destroyIoas(kernel: Kernel, context: Context, ioas: Ioas): void {
  dropAllAreas(kernel, context, ioas, spaceOf(kernel, ioas));
  kernel.spaces.delete(ioas.space);
}

export function ioasAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, ALLOC.flags) !== 0) return UNKNOWN_FLAGS;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const ioas = createIoas(kernel, context);
  setU32(call, ALLOC.out_ioas_id, ioas.id);
  respond(call, IOMMU_IOAS_ALLOC.sizeBytes);
  return null;
}

export function ioasAllowIovas(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, ALLOW.__reserved) !== 0) return RESERVED_SET;
  const ioas = getObject(context, u32(call, ALLOW.ioas_id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  const ranges: IovaRange[] = [];
  const refusal = loadRanges(kernel, ranges);
  if (refusal !== null) return refusal;
  const { reserved } = spaceOf(kernel, ioas);
  for (const range of ranges) {
    if (hitsRange(reserved, range.startPage, range.startOffset, range.lastPage, range.lastOffset))
      return ALLOWED_RESERVED;
  }
  setAllowed(kernel, ioas, ranges);
  return null;
}

/** `iommufd_ioas_load_iovas`: reads and checks the ranges one by one. */
function loadRanges(kernel: Kernel, ranges: IovaRange[]): Refusal {
  const { call } = kernel;
  const count = u32(call, ALLOW.num_iovas);
  const at = wide();
  for (let index = 0; index < count; index += 1) {
    const distance = index * RANGE_BYTES;
    addWide(
      at,
      fieldPage(call, ALLOW.allowed_iovas),
      fieldOffset(call, ALLOW.allowed_iovas),
      Math.floor(distance / 4096),
      distance % 4096,
    );
    const copied = copyFromUser(kernel, at.page, at.offset, RANGE_BYTES);
    if (copied === null) return BAD_USER_POINTER;
    const view = new DataView(copied.bytes.buffer, copied.bytes.byteOffset, RANGE_BYTES);
    const range: IovaRange = {
      startPage: readPage(view, 0),
      startOffset: readOffset(view, 0),
      lastPage: readPage(view, 8),
      lastOffset: readOffset(view, 8),
    };
    if (compareWide(range.startPage, range.startOffset, range.lastPage, range.lastOffset) >= 0) {
      return RANGE_NOT_ASCENDING;
    }
    if (ranges.some((other) => overlaps(other, range))) return RANGES_OVERLAP;
    ranges.push(range);
  }
  return null;
}

function overlaps(a: IovaRange, b: IovaRange): boolean {
  return (
    compareWide(a.startPage, a.startOffset, b.lastPage, b.lastOffset) <= 0 &&
    compareWide(b.startPage, b.startOffset, a.lastPage, a.lastOffset) <= 0
  );
}

export function ioasIovaRanges(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, RANGES.__reserved) !== 0) return RESERVED_SET;
  const ioas = getObject(context, u32(call, RANGES.ioas_id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  noteOpenApertures(kernel, context, ioas);
  const room = u32(call, RANGES.num_iovas);
  const holes = holesOf(spaceOf(kernel, ioas).reserved);
  const written = Math.min(room, holes.length);
  for (let index = 0; index < written; index += 1) {
    if (!writeRange(kernel, index, holes[index]!)) return BAD_USER_POINTER;
  }
  setU32(call, RANGES.num_iovas, holes.length);
  setU64(call, RANGES.out_iova_alignment, Math.floor(ioas.alignment / 4096), ioas.alignment % 4096);
  respond(call, IOMMU_IOAS_IOVA_RANGES.sizeBytes);
  return holes.length > room ? BUFFER_TOO_SHORT : null;
}

/** The ranges rest on the aperture of each page table, which the topology may have left open. */
function noteOpenApertures(kernel: Kernel, context: Context, ioas: Ioas): void {
  for (const id of ioas.domains) {
    const { iommu } = mustGet(context, id, 'hwpt-paging').domain;
    const facts = kernel.machine.iommus.find(({ name }) => name === iommu);
    if (facts === undefined || facts.aperture !== null || kernel.state.learned[iommu]?.aperture !== undefined)
      continue;
    if (!kernel.call.rests.some(({ owner }) => owner === iommu))
      kernel.call.rests.push({ owner: iommu, fact: 'aperture' });
  }
}

function writeRange(kernel: Kernel, index: number, range: IovaRange): boolean {
  const { call } = kernel;
  const bytes = new Uint8Array(RANGE_BYTES);
  const view = new DataView(bytes.buffer);
  writeWide(view, 0, range.startPage, range.startOffset);
  writeWide(view, 8, range.lastPage, range.lastOffset);
  const at = wide();
  const distance = index * RANGE_BYTES;
  addWide(
    at,
    fieldPage(call, RANGES.allowed_iovas),
    fieldOffset(call, RANGES.allowed_iovas),
    Math.floor(distance / 4096),
    distance % 4096,
  );
  return copyToUser(kernel, at.page, at.offset, knownBytes(bytes));
}
