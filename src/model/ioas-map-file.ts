import { IOMMU_IOAS_MAP_FILE, IOMMU_IOAS_MAP_FLAGS, offsetsOf } from '../uapi/index.ts';
import { addWide, compareWide, isTop, subWide, TOP_OFFSET, TOP_PAGE, wide } from './address.ts';
import { IOAS_NOT_FOUND, UNKNOWN_FLAGS } from './check.ts';
import { dmabufOf, refuseDmabufRange, refuseRevoked } from './dmabuf.ts';
import { findFile } from './file-memory.ts';
import {
  ADDRESS_TOO_HIGH,
  LENGTH_TOO_LONG,
  LENGTH_ZERO,
  MAP_FLAGS,
  mapCommon,
  NO_PERMISSION_ASKED,
  protOf,
} from './ioas-map.ts';
import type { Answer, Kernel } from './kernel.ts';
import { getObject } from './objects.ts';
import { FROM_DMABUF, FROM_FILE } from './pages-table.ts';
import { reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { fieldOffset, fieldPage, respond, setU64, u32 } from './user-call.ts';
import { createSpace } from './user-memory.ts';

/**
 * IOMMU_IOAS_MAP_FILE: pages of a memory file, found without any process. ioas.c and io_pagetable.c of
 * iommufd.
 */

const MAP = offsetsOf(IOMMU_IOAS_MAP_FILE);
const { FIXED_IOVA, WRITEABLE, READABLE } = IOMMU_IOAS_MAP_FLAGS;
/** A descriptor that is taken by a file no record tells of. */
const UNRECORDED = 0;
/** Standard input, output and error are open in every process, and are no memory files. */
const STANDARD_DESCRIPTORS = 3;

const FILE_RANGE_WRAPS = reason(
  'file-range-wraps',
  'EOVERFLOW',
  'io_pagetable.c iopt_map_file_pages',
  'start + length wraps past 2^64',
);
const NOT_A_DESCRIPTOR = reason(
  'map-file-bad-descriptor',
  'EBADF',
  'io_pagetable.c iopt_map_file_pages',
  'the descriptor is not open',
);

const iova = wide();
const start = wide();
const last = wide();

export function ioasMapFile(kernel: Kernel, context: Context): Answer {
  const { call } = kernel;
  const flags = u32(call, MAP.flags);
  if ((flags & ~MAP_FLAGS) !== 0) return UNKNOWN_FLAGS;
  const lengthPage = fieldPage(call, MAP.length);
  const lengthOffset = fieldOffset(call, MAP.length);
  iova.page = fieldPage(call, MAP.iova);
  iova.offset = fieldOffset(call, MAP.iova);
  if (isTop(iova.page, iova.offset) || isTop(lengthPage, lengthOffset)) return ADDRESS_TOO_HIGH;
  if ((flags & (WRITEABLE | READABLE)) === 0) return NO_PERMISSION_ASKED;
  const ioas = getObject(context, u32(call, MAP.ioas_id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  if (!kernel.profile.has.dmabuf && !isOpen(kernel)) return NOT_A_DESCRIPTOR;
  if (lengthPage === 0 && lengthOffset === 0) return LENGTH_ZERO;
  start.page = fieldPage(call, MAP.start);
  start.offset = fieldOffset(call, MAP.start);
  subWide(last, lengthPage, lengthOffset, 0, 1);
  if (addWide(last, start.page, start.offset, last.page, last.offset)) return FILE_RANGE_WRAPS;
  const answer = mapFile(kernel, context, ioas, lengthPage, lengthOffset, flags);
  if (answer !== null) return answer;
  setU64(call, MAP.iova, iova.page, iova.offset);
  respond(call, IOMMU_IOAS_MAP_FILE.sizeBytes);
  return null;
}

function isOpen({ call, state }: Kernel): boolean {
  const fd = call.view.getInt32(MAP.fd, true);
  return state.processes[call.pid]!.descriptors[fd] !== undefined || (fd >= 0 && fd < STANDARD_DESCRIPTORS);
}

function mapFile(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  lengthPage: number,
  lengthOffset: number,
  flags: number,
): Answer {
  const { call } = kernel;
  const fd = call.view.getInt32(MAP.fd, true);
  const process = kernel.state.processes[call.pid]!;
  if (!isOpen(kernel)) return NOT_A_DESCRIPTOR;
  const dmabuf = dmabufOf(kernel, process, fd);
  const outside = dmabuf === undefined ? null : refuseDmabufRange(dmabuf, start, lengthPage, lengthOffset);
  if (outside !== null) return outside;
  const pageUnits = kernel.profile.pageBytes / 4096;
  if (compareWide(lengthPage, lengthOffset, TOP_PAGE - pageUnits, TOP_OFFSET) > 0) return LENGTH_TOO_LONG;
  const file = findFile(kernel, process, fd);
  const revoked = dmabuf === undefined ? null : refuseRevoked(dmabuf);
  if (revoked !== null) return revoked;
  // Whether a file that no record speaks of can be pinned is not known; without a domain nobody asks.
  const isUnknown = process.descriptors[fd] === UNRECORDED && fd >= STANDARD_DESCRIPTORS;
  if (dmabuf === undefined && file === undefined && isUnknown && ioas.domains.length > 0)
    return 'not-modelled';
  const mm = dmabuf?.mm ?? file?.mm ?? createSpace(kernel.memory, true);
  const fixed = (flags & FIXED_IOVA) !== 0;
  return mapCommon(
    kernel,
    context,
    ioas,
    mm,
    dmabuf === undefined ? FROM_FILE : FROM_DMABUF,
    start,
    lengthPage,
    lengthOffset,
    iova,
    protOf(flags),
    fixed,
  );
}
