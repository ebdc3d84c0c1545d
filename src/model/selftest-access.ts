import { accessLifecycle } from '../../machines/index.ts';
import {
  IOMMU_TEST_ACCESS_CREATE_FLAGS,
  IOMMU_TEST_ACCESS_FLAGS,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  unionOffsetsOf,
} from '../uapi/index.ts';
import { attachAccess, closeAccess, replaceAccess } from './access.ts';
import { dropItems, pinPages } from './access-pins.ts';
import { type Wide, wide } from './address.ts';
import { BAD_USER_POINTER, UNKNOWN_FLAGS } from './check.ts';
import { answerDescriptor, fileOf } from './descriptors.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { addObject, dropContext, holdContext, mustGet, nextId } from './objects.ts';
import { refuseUserPage } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Access, Context } from './state.ts';
import { syzAddress } from './syz-address.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import { locatePage, type PageIdentity } from './user-memory.ts';

/**
 * Access objects behind a descriptor of their own, as the selftest makes and uses them: selftest.c of
 * iommufd.
 */

const CREATE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.CREATE_ACCESS);
const REPLACE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.ACCESS_REPLACE_IOAS);
const PAGES = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.ACCESS_PAGES);
const UNPIN = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DESTROY_ACCESS_PAGES);
const { WRITE, SYZ } = IOMMU_TEST_ACCESS_FLAGS;
/** 16 MiB: more is refused before anything else is looked at. */
const LONGEST_PAGES = 4096;

export const TOO_LONG = reason(
  'access-too-long',
  'ENOMEM',
  'selftest.c iommufd_test_access_pages, _access_rw',
  'more than 16 MiB at once',
);
export const NOT_AN_ACCESS = reason(
  'not-an-access-descriptor',
  'EBADFD',
  'selftest.c iommufd_access_get',
  'the descriptor given as id is not open or is no access object',
);
const NOT_PINNING = reason(
  'access-does-not-pin',
  'EOPNOTSUPP',
  'selftest.c iommufd_test_access_pages',
  'the access object was made without NEEDS_PIN_PAGES',
);
const ITEM_NOT_FOUND = reason(
  'access-pages-not-found',
  'ENOENT',
  'selftest.c iommufd_test_access_item_destroy',
  'the access object has no pin with this id',
);
const PAGES_DIFFER = reason(
  'access-pages-differ',
  'EBADE',
  'selftest.c iommufd_test_check_pages',
  'the pages pinned are not those behind the user address',
);

export function createAccess(kernel: Kernel, context: Context, ioasId: number): Refusal {
  const { call } = kernel;
  const flags = u32(call, CREATE.flags);
  if ((flags & ~IOMMU_TEST_ACCESS_CREATE_FLAGS.NEEDS_PIN_PAGES) !== 0) return UNKNOWN_FLAGS;
  const access: Access = {
    type: 'access',
    id: nextId(context),
    // The driver that made it is a user, besides the table of ids.
    users: 2,
    lifecycle: accessLifecycle.initial,
    ioas: 0,
    pinning: flags !== 0,
    internal: false,
    listId: 0,
    items: [],
    nextItem: 0,
  };
  context.objects[access.id] = access;
  holdContext(context);
  const refusal = attachAccess(kernel, context, access, ioasId);
  if (refusal !== null) {
    delete context.objects[access.id];
    context.freeHint = Math.min(context.freeHint, access.id);
    dropContext(context, false, 0);
    return refusal;
  }
  addObject(kernel, context, access);
  if (!canRespond(kernel)) {
    closeAccess(kernel, context, access);
    return BAD_USER_POINTER;
  }
  answerDescriptor(kernel, 'access', context.id, access.id, 'out_access_fd', CREATE.out_access_fd);
  respond(call, IOMMU_TEST_CMD.sizeBytes);
  return null;
}

/** The access object behind a descriptor of the caller, in whichever context it lives. */
export function accessOf(kernel: Kernel, fd: number): { context: Context; access: Access } | undefined {
  const process = kernel.state.processes[kernel.call.pid]!;
  const file = fileOf(kernel, process, fd);
  if (file === undefined || file.kind !== 'access') return undefined;
  const context = kernel.state.contexts[file.context]!;
  return { context, access: mustGet(context, file.object, 'access') };
}

export function replaceAccessIoas(kernel: Kernel, fd: number): Refusal {
  const found = accessOf(kernel, fd);
  if (found === undefined) return NOT_AN_ACCESS;
  return replaceAccess(kernel, found.context, found.access, u32(kernel.call, REPLACE.ioas_id));
}

export function destroyAccessPages(kernel: Kernel, fd: number): Refusal {
  const found = accessOf(kernel, fd);
  if (found === undefined) return NOT_AN_ACCESS;
  const { context, access } = found;
  const id = u32(kernel.call, UNPIN.access_pages_id);
  if (!access.items.some((item) => item.id === id)) return ITEM_NOT_FOUND;
  dropItems(kernel, access, spaceOf(kernel, mustGet(context, access.ioas, 'ioas')), (item) => item.id === id);
  return null;
}

/** The IOVA of the call; with SYZ it names the n-th area and an offset into it. */
export function iovaOf(
  kernel: Kernel,
  { context, access }: { context: Context; access: Access },
  field: number,
  syz: boolean,
): Wide {
  const { call } = kernel;
  if (!syz) return wide(fieldPage(call, field), fieldOffset(call, field));
  if (access.ioas === 0) return wide();
  return syzAddress(call, field, spaceOf(kernel, mustGet(context, access.ioas, 'ioas')).areas);
}

/** Length of the call in bytes, or -1 above 16 MiB. */
export function lengthOf(kernel: Kernel, field: number): number {
  const page = fieldPage(kernel.call, field);
  const offset = fieldOffset(kernel.call, field);
  return page > LONGEST_PAGES || (page === LONGEST_PAGES && offset > 0) ? -1 : page * 4096 + offset;
}

export function accessPages(kernel: Kernel, fd: number): Refusal {
  const { call } = kernel;
  const length = lengthOf(kernel, PAGES.length);
  if (length < 0) return TOO_LONG;
  const flags = u32(call, PAGES.flags);
  if ((flags & ~(WRITE | SYZ)) !== 0) return UNKNOWN_FLAGS;
  const found = accessOf(kernel, fd);
  if (found === undefined) return NOT_AN_ACCESS;
  const { context, access } = found;
  if (!access.pinning) return NOT_PINNING;
  const iova = iovaOf(kernel, found, PAGES.iova, (flags & SYZ) !== 0);
  const write = (flags & WRITE) !== 0;
  const pinned: PageIdentity[] = [];
  const refusal = pinPages(kernel, context, access, iova.page, iova.offset, length, write, pinned);
  if (refusal !== null) return refusal;
  const item = { id: access.nextItem, iovaPage: iova.page, iovaOffset: iova.offset, length };
  access.items.push(item);
  const differs = comparePages(kernel, iova, pinned);
  // An answer that can not be delivered undoes the pin; its id is used up all the same.
  const undelivered = differs === null && !canRespond(kernel);
  if (undelivered) access.nextItem += 1;
  if (differs !== null || undelivered) {
    dropItems(
      kernel,
      access,
      spaceOf(kernel, mustGet(context, access.ioas, 'ioas')),
      (other) => other === item,
    );
    return differs ?? BAD_USER_POINTER;
  }
  access.nextItem += 1;
  setU32(call, PAGES.out_access_pages_id, item.id);
  respond(call, IOMMU_TEST_CMD.sizeBytes);
  return null;
}

/** `iommufd_test_check_pages`: the pinned pages must be those at uptr; a NULL uptr skips the check. */
function comparePages(kernel: Kernel, iova: Wide, pinned: readonly PageIdentity[]): Refusal {
  const { call, memory } = kernel;
  const user = wide(fieldPage(call, PAGES.uptr), fieldOffset(call, PAGES.uptr));
  if (user.page === 0 && user.offset === 0) return null;
  // The user address of the first page, whatever the offset of the IOVA in its page.
  if (user.offset < iova.offset) user.page -= 1;
  for (const [index, held] of pinned.entries()) {
    const asked = user.page + index;
    const fault = refuseUserPage(kernel, asked);
    if (fault !== null) return fault;
    const expected = locatePage(memory, call.mm, asked);
    if (held.object !== expected.object || held.page !== expected.page) return PAGES_DIFFER;
  }
  return null;
}
