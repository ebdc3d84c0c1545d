import { faultQueueLifecycle, hwptNestedLifecycle, hwptPagingLifecycle } from '../../machines/index.ts';
import { IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC_FLAGS, IOMMU_HWPT_DATA, offsetsOf } from '../uapi/index.ts';
import { acquireIoas, releaseIoas } from './access.ts';
import { BAD_USER_POINTER, DEVICE_NOT_FOUND, RESERVED_SET } from './check.ts';
import { addDomain, refuseDomain, removeDomain } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import {
  isDirtyCapable,
  MOCK_IOTLB_ENTRIES,
  makePagingDomain,
  readNestedData,
  refusePagingDomain,
} from './mock-iommu.ts';
import { addObject, getObject, moved, mustGet, nextId, removeObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Device, HwptNested, HwptPaging, Ioas, PagingDomain } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';

/** Hardware page tables: hw_pagetable.c of iommufd. */

const ALLOC = offsetsOf(IOMMU_HWPT_ALLOC);
const { NEST_PARENT, DIRTY_TRACKING, FAULT_ID_VALID } = IOMMU_HWPT_ALLOC_FLAGS;

const DATA_TYPE_AND_LENGTH = reason(
  'driver-data-type-and-length-disagree',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_alloc',
  'driver data of no type, or a type without data',
);
const PARENT_NOT_FOUND = reason(
  'hwpt-parent-not-found',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_alloc',
  'no object has the id given as pt_id; here that is EINVAL, not ENOENT',
);
const PARENT_OF_WRONG_TYPE = reason(
  'hwpt-parent-of-wrong-type',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_alloc',
  'pt_id names neither an IOAS nor a paging HWPT',
);
const PAGING_FLAGS = reason(
  'hwpt-flags-unsupported',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_paging_alloc',
  'a flag that a paging HWPT of this kernel does not take',
);
const NO_DIRTY_CAPABILITY = reason(
  'dirty-tracking-not-capable',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_paging_alloc',
  'the IOMMU of the device can not track dirty pages',
);
const NESTED_FLAGS = reason(
  'nested-flags-or-no-data',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_nested_alloc',
  'a flag that a nested HWPT does not take, or no driver data',
);
const NOT_A_NEST_PARENT = reason(
  'not-a-nest-parent',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_nested_alloc',
  'the parent was made automatically or allocated without NEST_PARENT',
);
const FAULT_QUEUE_NOT_FOUND = reason(
  'fault-queue-not-found',
  'ENOENT',
  'hw_pagetable.c iommufd_hwpt_alloc',
  'no fault queue has the id given as fault_id',
);

export function hwptAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, ALLOC.__reserved) !== 0) return RESERVED_SET;
  const dataType = u32(call, ALLOC.data_type);
  const dataLength = u32(call, ALLOC.data_len);
  if ((dataType === IOMMU_HWPT_DATA.NONE) !== (dataLength === 0)) return DATA_TYPE_AND_LENGTH;
  const device = getObject(context, u32(call, ALLOC.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const parent = context.objects[u32(call, ALLOC.pt_id)];
  if (parent === undefined) return PARENT_NOT_FOUND;
  const flags = u32(call, ALLOC.flags);
  let refusal: Refusal;
  if (parent.type === 'ioas') refusal = allocPaging(kernel, context, parent, device, flags, dataLength);
  else if (parent.type === 'hwpt-paging') refusal = allocNested(kernel, context, parent, flags);
  else refusal = PARENT_OF_WRONG_TYPE;
  if (refusal !== null) return refusal;
  respond(call, IOMMU_HWPT_ALLOC.sizeBytes);
  return null;
}

function allocPaging(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  device: Device,
  flags: number,
  dataLength: number,
): Refusal {
  const refusal = refusePaging(device, flags, dataLength > 0);
  if (refusal !== null) return refusal;
  const domain = makePagingDomain(kernel, device, flags);
  const unfit = refuseDomain(kernel, ioas, domain);
  if (unfit !== null) return unfit;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const hwpt = createPaging(kernel, context, ioas, domain, (flags & NEST_PARENT) !== 0, false);
  setU32(kernel.call, ALLOC.out_hwpt_id, hwpt.id);
  return null;
}

/** What `iommufd_hwpt_paging_alloc` and the driver refuse before the domain meets the IOAS. */
export function refusePaging(device: Device, flags: number, hasUserData: boolean): Refusal {
  if ((flags & ~(NEST_PARENT | DIRTY_TRACKING)) !== 0) return PAGING_FLAGS;
  if ((flags & DIRTY_TRACKING) !== 0 && !isDirtyCapable(device)) return NO_DIRTY_CAPABILITY;
  return refusePagingDomain(device, flags, hasUserData);
}

/** Makes a paging HWPT and fills its domain; everything has been checked. */
export function createPaging(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  domain: PagingDomain,
  nestParent: boolean,
  auto: boolean,
): HwptPaging {
  const { event, guard } = hwptPagingLifecycle;
  const hwpt: HwptPaging = {
    type: 'hwpt-paging',
    id: nextId(context),
    users: 1,
    lifecycle: moved(
      hwptPagingLifecycle.step(hwptPagingLifecycle.initial, event.FINALIZE, auto ? guard.auto : 0),
      'making a HWPT',
    ),
    ioas: ioas.id,
    auto,
    nestParent,
    enforceCacheCoherency: false,
    fault: 0,
    tracking: false,
    domain,
  };
  addObject(kernel, context, hwpt);
  acquireIoas(ioas);
  addDomain(kernel, ioas, hwpt.id, domain);
  ioas.hwpts.push(hwpt.id);
  return hwpt;
}

function allocNested(kernel: Kernel, context: Context, parent: HwptPaging, flags: number): Refusal {
  const { call } = kernel;
  const dataLength = u32(call, ALLOC.data_len);
  if ((flags & ~FAULT_ID_VALID) !== 0 || dataLength === 0) return NESTED_FLAGS;
  if (parent.auto || !parent.nestParent) return NOT_A_NEST_PARENT;
  const page = fieldPage(call, ALLOC.data_uptr);
  const data = readNestedData(
    kernel,
    u32(call, ALLOC.data_type),
    dataLength,
    page,
    fieldOffset(call, ALLOC.data_uptr),
  );
  if (data.refusal !== null) return data.refusal;
  const faultId = (flags & FAULT_ID_VALID) !== 0 ? u32(call, ALLOC.fault_id) : 0;
  const queue = faultId === 0 ? undefined : getObject(context, faultId, 'fault');
  if ((flags & FAULT_ID_VALID) !== 0 && queue === undefined) return FAULT_QUEUE_NOT_FOUND;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const hwpt: HwptNested = {
    type: 'hwpt-nested',
    id: nextId(context),
    users: 1,
    lifecycle: hwptNestedLifecycle.initial,
    parent: parent.id,
    fault: faultId,
    iotlb: new Array<number>(MOCK_IOTLB_ENTRIES).fill(data.iotlb),
  };
  addObject(kernel, context, hwpt);
  acquireHwpt(parent, true);
  if (queue !== undefined) {
    queue.users += 1;
    const { event } = faultQueueLifecycle;
    queue.lifecycle = moved(faultQueueLifecycle.step(queue.lifecycle, event.ACQUIRE), 'using a fault queue');
  }
  setU32(call, ALLOC.out_hwpt_id, hwpt.id);
  return null;
}

/** One more user of a HWPT: an attachment, or (`nested`) a nested HWPT on it. */
export function acquireHwpt(hwpt: HwptPaging | HwptNested, nested = false): void {
  hwpt.users += 1;
  if (hwpt.type === 'hwpt-nested') {
    const { event, guard } = hwptNestedLifecycle;
    hwpt.lifecycle = moved(
      hwptNestedLifecycle.step(hwpt.lifecycle, event.ACQUIRE_ATTACH, guard.vdeviceReady),
      'attaching to a nested HWPT',
    );
    return;
  }
  const { event, guard } = hwptPagingLifecycle;
  const step = nested ? event.ACQUIRE_NESTED : event.ACQUIRE_ATTACH;
  hwpt.lifecycle = moved(
    hwptPagingLifecycle.step(hwpt.lifecycle, step, nested ? guard.nestParent : 0),
    'using a HWPT',
  );
}

/** One user less. An automatic HWPT goes with its last one: `iommufd_hw_pagetable_put`. */
export function releaseHwpt(kernel: Kernel, context: Context, hwpt: HwptPaging | HwptNested): void {
  hwpt.users -= 1;
  if (hwpt.type === 'hwpt-nested') {
    const { event, guard } = hwptNestedLifecycle;
    const last = hwpt.users === 1 ? guard.last : 0;
    hwpt.lifecycle = moved(
      hwptNestedLifecycle.step(hwpt.lifecycle, event.RELEASE, last),
      'leaving a nested HWPT',
    );
    return;
  }
  const { event, guard, state } = hwptPagingLifecycle;
  const last = hwpt.users === 1 ? guard.last : 0;
  hwpt.lifecycle = moved(hwptPagingLifecycle.step(hwpt.lifecycle, event.RELEASE, last), 'leaving a HWPT');
  if (hwpt.lifecycle !== state.destroyed) return;
  removeObject(kernel, context, hwpt);
  destroyPaging(kernel, context, hwpt);
}

/** `iommufd_hwpt_paging_destroy`. */
export function destroyPaging(kernel: Kernel, context: Context, hwpt: HwptPaging): void {
  const ioas = mustGet(context, hwpt.ioas, 'ioas');
  ioas.hwpts = ioas.hwpts.filter((id) => id !== hwpt.id);
  removeDomain(kernel, context, ioas, hwpt.id);
  kernel.dirty.delete(hwpt.domain.key);
  releaseFault(context, hwpt.fault);
  releaseIoas(ioas);
}

/** `iommufd_hwpt_nested_destroy`. */
export function destroyNested(kernel: Kernel, context: Context, hwpt: HwptNested): void {
  releaseFault(context, hwpt.fault);
  releaseHwpt(kernel, context, mustGet(context, hwpt.parent, 'hwpt-paging'));
}

function releaseFault(context: Context, id: number): void {
  if (id === 0) return;
  const queue = mustGet(context, id, 'fault');
  queue.users -= 1;
  const { event, guard, state } = faultQueueLifecycle;
  const others = queue.users - 1 - (queue.lifecycle === state.openInUse ? 1 : 0);
  const last = others === 0 ? guard.last : 0;
  queue.lifecycle = moved(
    faultQueueLifecycle.step(queue.lifecycle, event.RELEASE, last),
    'leaving a fault queue',
  );
}
