import { accessLifecycle, hwQueueLifecycle } from '../../machines/index.ts';
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_HW_QUEUE_TYPE, offsetsOf } from '../uapi/index.ts';
import { attachAccess, leaveIoas } from './access.ts';
import { pinPages } from './access-pins.ts';
import { addWide, subWide, wide } from './address.ts';
import { BAD_USER_POINTER, UNKNOWN_FLAGS, VIOMMU_NOT_FOUND } from './check.ts';
import { can } from './drivers/facts.ts';
import type { Answer, Kernel } from './kernel.ts';
import { addObject, getObject, moved, mustGet, nextId, removeObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Access, Context, HwQueue, Viommu } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import type { PageIdentity } from './user-memory.ts';
import { acquireViommu, releaseViommu } from './viommu-users.ts';

/**
 * HW queues: guest memory that the hardware reads by itself. viommu.c of iommufd, selftest.c of the mock
 * driver.
 */

const ALLOC = offsetsOf(IOMMU_HW_QUEUE_ALLOC);
/** IOMMU_TEST_HW_QUEUE_MAX. */
const MOST_QUEUES = 2;
/** More pages than this are no length that a kernel could allocate a page array for. */
const MOST_PAGES = 2 ** 30;

const LENGTH_ZERO = reason(
  'hw-queue-length-zero',
  'EINVAL',
  'viommu.c iommufd_hw_queue_alloc_ioctl',
  'the length of the queue is zero',
);
const RANGE_WRAPS = reason(
  'hw-queue-range-wraps',
  'EOVERFLOW',
  'viommu.c iommufd_hw_queue_alloc_ioctl',
  'IOVA + length of the queue wraps past 2^64',
);
const TYPE_UNSUPPORTED = reason(
  'hw-queue-type-unsupported',
  'EOPNOTSUPP',
  'viommu.c iommufd_hw_queue_alloc_ioctl',
  'the vIOMMU does not offer a queue of this type',
);
const LENGTH_TOO_LONG = reason(
  'hw-queue-length-too-long',
  'ERANGE',
  'viommu.c iommufd_hw_queue_alloc_phys',
  'the length of the queue, rounded to pages, wraps past 2^64',
);
const NO_MEMORY = reason(
  'hw-queue-page-array',
  'ENOMEM',
  'viommu.c iommufd_hw_queue_alloc_phys',
  'the queue has more pages than the kernel can list',
);
const NOT_ONE_RUN = reason(
  'hw-queue-not-one-run',
  'EFAULT',
  'viommu.c iommufd_hw_queue_alloc_phys',
  'the pages of the queue do not follow each other in physical memory',
);
/** The fact that replies tell of pages. */
const ONE_RUN = 'one physical run';
const INDEX_TOO_HIGH = reason(
  'hw-queue-index-too-high',
  'EINVAL',
  'selftest.c mock_hw_queue_init_phys',
  'the vIOMMU has no queue of this index',
);
const INDEX_TAKEN = reason(
  'hw-queue-index-taken',
  'EEXIST',
  'selftest.c mock_hw_queue_init_phys',
  'the queue of this index is there already',
);
const PREVIOUS_MISSING = reason(
  'hw-queue-previous-missing',
  'EIO',
  'selftest.c mock_hw_queue_init_phys',
  'queues are made in ascending order, and the one before is missing',
);

export function hwQueueAlloc(kernel: Kernel, context: Context): Answer {
  const { call } = kernel;
  const type = u32(call, ALLOC.type);
  if (u32(call, ALLOC.flags) !== 0 || type === IOMMU_HW_QUEUE_TYPE.DEFAULT) return UNKNOWN_FLAGS;
  const page = fieldPage(call, ALLOC.nesting_parent_iova);
  const offset = fieldOffset(call, ALLOC.nesting_parent_iova);
  const length = wide(fieldPage(call, ALLOC.length), fieldOffset(call, ALLOC.length));
  if (length.page === 0 && length.offset === 0) return LENGTH_ZERO;
  const end = wide();
  subWide(end, length.page, length.offset, 0, 1);
  if (addWide(end, page, offset, end.page, end.offset)) return RANGE_WRAPS;
  const viommu = getObject(context, u32(call, ALLOC.viommu_id), 'viommu');
  if (viommu === undefined) return VIOMMU_NOT_FOUND;
  if (type !== IOMMU_HW_QUEUE_TYPE.SELFTEST) return TYPE_UNSUPPORTED;
  const { pageBytes } = kernel.profile;
  const inPage = ((page * 4096) % pageBytes) + offset;
  if (addWide(end, length.page, length.offset, 0, inPage)) return LENGTH_TOO_LONG;
  if (addWide(end, end.page, end.offset, 0, pageBytes - 1)) return LENGTH_TOO_LONG;
  const pages = Math.floor(end.page / (pageBytes / 4096));
  if (pages > MOST_PAGES) return NO_MEMORY;
  return makeQueue(kernel, context, viommu, page - Math.floor(inPage / 4096), pages * pageBytes);
}

/** Makes the queue over whole pages: takes the ids of the queue, then of the access object that pins it. */
function makeQueue(
  kernel: Kernel,
  context: Context,
  viommu: Viommu,
  firstPage: number,
  bytes: number,
): Answer {
  const { call } = kernel;
  const id = nextId(context);
  context.constructing = id;
  const access = createInternalAccess(nextId(context));
  context.objects[access.id] = access;
  const refusal = pinQueue(kernel, context, viommu, access, firstPage, bytes);
  context.constructing = 0;
  const index = u32(call, ALLOC.index);
  const unfit = refusal ?? refuseIndex(viommu, index) ?? (canRespond(kernel) ? null : BAD_USER_POINTER);
  if (unfit !== null) {
    if (access.ioas !== 0) leaveIoas(kernel, context, access);
    delete context.objects[access.id];
    return unfit;
  }
  const { initial } = hwQueueLifecycle;
  const queue: HwQueue = {
    type: 'hw-queue',
    id,
    users: 1,
    lifecycle: initial,
    viommu: viommu.id,
    index,
    access: access.id,
  };
  addObject(kernel, context, queue);
  addObject(kernel, context, access);
  acquireViommu(viommu);
  const previous = viommu.hwQueues[index - 1];
  if (previous !== undefined) changeUsers(mustGet(context, previous, 'hw-queue'), 1);
  viommu.hwQueues[index] = id;
  setU32(call, ALLOC.out_hw_queue_id, id);
  respond(call, IOMMU_HW_QUEUE_ALLOC.sizeBytes);
  return null;
}

function createInternalAccess(id: number): Access {
  return {
    type: 'access',
    id,
    users: 2,
    lifecycle: accessLifecycle.initial,
    ioas: 0,
    pinning: true,
    internal: true,
    listId: 0,
    items: [],
    nextItem: 0,
  };
}

/**
 * `iommufd_hw_queue_alloc_phys`: the queue's pages must be one run of physical memory, which no record tells.
 */
function pinQueue(
  kernel: Kernel,
  context: Context,
  viommu: Viommu,
  access: Access,
  firstPage: number,
  bytes: number,
): Answer {
  const parent = mustGet(context, viommu.hwpt, 'hwpt-paging');
  const refusal = attachAccess(kernel, context, access, parent.ioas);
  if (refusal !== null) return refusal;
  const pinned: PageIdentity[] = [];
  const unpinned = pinPages(kernel, context, access, firstPage, 0, bytes, false, pinned);
  if (unpinned !== null) return unpinned;
  access.items.push({ id: 0, iovaPage: firstPage, iovaOffset: 0, length: bytes });
  return isOneRun(kernel, pinned) ? null : NOT_ONE_RUN;
}

/** Whether pages follow each other in physical memory: inside a huge page they do, else only replies tell. */
function isOneRun(kernel: Kernel, pages: readonly PageIdentity[]): boolean {
  const first = pages[0]!;
  const follows = (page: PageIdentity, index: number): boolean =>
    page.object === first.object && page.page === first.page + index && page.huge;
  if (pages.every((page, index) => index === 0 || follows(page, index))) return true;
  const isTwice = pages.some(({ object, page }, index) => {
    const before = pages[index - 1];
    return before !== undefined && before.object === object && before.page === page;
  });
  if (isTwice) return false;
  return can(
    kernel,
    `${pages.length} pages from page ${first.page} of memory ${first.object}`,
    ONE_RUN,
    null,
  );
}

/** `mock_hw_queue_init_phys`. */
function refuseIndex(viommu: Viommu, index: number): Refusal {
  if (index >= MOST_QUEUES) return INDEX_TOO_HIGH;
  if (viommu.hwQueues[index] !== undefined) return INDEX_TAKEN;
  return index > 0 && viommu.hwQueues[index - 1] === undefined ? PREVIOUS_MISSING : null;
}

function changeUsers(queue: HwQueue, by: 1 | -1): void {
  queue.users += by;
  const { event } = hwQueueLifecycle;
  queue.lifecycle = moved(
    hwQueueLifecycle.step(queue.lifecycle, by > 0 ? event.ACQUIRE : event.RELEASE),
    'a dependent HW queue',
  );
}

/** `iommufd_hw_queue_destroy`: unpins its pages, and the access object goes with it. */
export function destroyHwQueue(kernel: Kernel, context: Context, queue: HwQueue): void {
  const viommu = mustGet(context, queue.viommu, 'viommu');
  delete viommu.hwQueues[queue.index];
  const previous = viommu.hwQueues[queue.index - 1];
  if (previous !== undefined) changeUsers(mustGet(context, previous, 'hw-queue'), -1);
  const access = mustGet(context, queue.access, 'access');
  leaveIoas(kernel, context, access);
  removeObject(kernel, context, access);
  releaseViommu(viommu);
}
