import { IOMMU_TEST_ACCESS_RW_FLAGS, IOMMU_TEST_CMD, IOMMU_TEST_OP, unionOffsetsOf } from '../uapi/index.ts';
import { ACCESS_DENIED, type Run, refuseProt, walkAccess } from './access-pins.ts';
import { wide } from './address.ts';
import { startByte } from './area-table.ts';
import { BAD_USER_POINTER, UNKNOWN_FLAGS } from './check.ts';
import { pageAt } from './held-pages.ts';
import type { IovaSpace } from './iova-space.ts';
import type { Kernel } from './kernel.ts';
import { FROM_USER, isDmabuf } from './pages-table.ts';
import { refusePin } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import { accessOf, iovaOf, lengthOf, NOT_AN_ACCESS, TOO_LONG } from './selftest-access.ts';
import { type KnownBytes, loadBytes, storeBytes, storePrefix } from './user-bytes.ts';
import { fieldOffset, fieldPage, u32 } from './user-call.ts';
import { copyFromUser, copyToUser } from './user-copy.ts';
import { isAccessible, type Locate } from './user-memory.ts';

/** ACCESS_RW: copies through an access object. selftest.c and pages.c of iommufd. */

const RW = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.ACCESS_RW);
const { WRITE, SLOW_PATH, SYZ } = IOMMU_TEST_ACCESS_RW_FLAGS;

const COPY_FAULT = reason(
  'access-copy-fault',
  'EFAULT',
  'pages.c iopt_pages_rw_access',
  'the user memory behind the IOVA can not be copied: not mapped, no such access, or its process is gone',
);

const DMABUF_COPY = reason(
  'access-copies-dmabuf',
  'EINVAL',
  'pages.c iopt_pages_rw_access',
  'the range maps a dma-buf, which an access object can not touch',
);

export function accessReadWrite(kernel: Kernel, fd: number): Refusal {
  const { call } = kernel;
  const length = lengthOf(kernel, RW.length);
  if (length < 0) return TOO_LONG;
  const flags = u32(call, RW.flags);
  if ((flags & ~(WRITE | SLOW_PATH | SYZ)) !== 0) return UNKNOWN_FLAGS;
  const found = accessOf(kernel, fd);
  if (found === undefined) return NOT_AN_ACCESS;
  const write = (flags & WRITE) !== 0;
  const slow = (flags & SLOW_PATH) !== 0;
  const userPage = fieldPage(call, RW.uptr);
  const userOffset = fieldOffset(call, RW.uptr);
  const data = write ? copyFromUser(kernel, userPage, userOffset, length) : emptyBytes(length);
  if (data === null) return BAD_USER_POINTER;
  const iova = iovaOf(kernel, found, RW.iova, (flags & SYZ) !== 0);
  let done = 0;
  const refusal = walkAccess(
    kernel,
    found.context,
    found.access,
    iova.page,
    iova.offset,
    length,
    (space, run) => {
      const part = partLength(run);
      const failed = copyPart(kernel, space, run, slice(data, done, part), write, slow);
      done += part;
      return failed;
    },
  );
  if (refusal !== null) return refusal;
  if (!write && !copyToUser(kernel, userPage, userOffset, settled(data))) return BAD_USER_POINTER;
  return null;
}

function partLength({ at, last }: Run): number {
  return (last.page - at.page) * 4096 + last.offset - at.offset + 1;
}

/** Buffers of a read: filled part by part, with what is not known marked. */
function emptyBytes(length: number): KnownBytes {
  return { length, bytes: new Uint8Array(length), known: new Uint8Array(length) };
}

function slice(data: KnownBytes, from: number, length: number): KnownBytes {
  const known = data.known?.subarray(from, from + length) ?? null;
  return { length, bytes: data.bytes.subarray(from, from + length), known };
}

function settled(data: KnownBytes): KnownBytes {
  return data.known?.includes(0) ? data : { ...data, known: null };
}

/** `iopt_pages_rw_access` of one area: copies between `data` and the user memory behind it. */
function copyPart(
  kernel: Kernel,
  { areas }: IovaSpace,
  run: Run,
  data: KnownBytes,
  write: boolean,
  slow: boolean,
): Refusal {
  const { slot, at } = run;
  const denied = refuseProt(areas, slot, write);
  if (denied !== null) return denied;
  const pages = areas.pages[slot]!;
  if (write && kernel.pages.writable[pages] === 0) return ACCESS_DENIED;
  if (isDmabuf(kernel.pages, pages)) return DMABUF_COPY;
  const mm = kernel.pages.mm[pages]!;
  const byte = wide();
  startByte(byte, areas, slot, at.page, at.offset);
  const lastIndex = byte.page + Math.floor((byte.offset + data.length - 1) / 4096);
  const page = kernel.pages.basePage[pages]! + byte.page;
  const lastPage = kernel.pages.basePage[pages]! + lastIndex;
  let locate: Locate | undefined;
  // In the mapping process itself the copy is a plain user copy; else it goes by pinned pages.
  const isUser = kernel.pages.source[pages] === FROM_USER;
  const direct = isUser && !slow && mm === kernel.call.mm;
  if (direct) {
    if (!isAccessible(kernel.memory, mm, page, lastPage, write, false)) {
      if (write) storePrefix(kernel.memory, mm, page, byte.offset, data);
      return COPY_FAULT;
    }
  } else if (!isUser) {
    const refusal = refusePin(kernel, pages, byte.page, lastIndex);
    if (refusal !== null) return refusal;
  } else if (byte.page === lastIndex && kernel.memory.spaces[mm]!.alive) {
    if (!isAccessible(kernel.memory, mm, page, page, write, true)) return COPY_FAULT;
  } else {
    if (refusePin(kernel, pages, byte.page, lastIndex) !== null) return COPY_FAULT;
    // Pages that are held are taken from where they are held.
    locate = (_, __, at) => pageAt(kernel, pages, at - kernel.pages.basePage[pages]!);
  }
  if (write) {
    storeBytes(kernel.memory, mm, page, byte.offset, data, locate);
  } else {
    const loaded = loadBytes(kernel.memory, mm, page, byte.offset, data.length, locate);
    data.bytes.set(loaded.bytes);
    if (loaded.known === null) data.known?.fill(1);
    else data.known?.set(loaded.known);
  }
  return null;
}
