import { hwptNestedLifecycle, hwptPagingLifecycle } from '../../machines/index.ts';
import { IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC_FLAGS, IOMMU_HWPT_DATA, offsetsOf } from '../uapi/index.ts';
import { acquireIoas } from './access.ts';
import { BAD_USER_POINTER, DEVICE_NOT_FOUND, IOAS_NOT_FOUND, OTHER_IOMMU, RESERVED_SET } from './check.ts';
import { DRIVERS, type UserData } from './drivers/index.ts';
import { NO_NESTING } from './drivers/no-nesting.ts';
import { acquireFault, acquireHwpt } from './hwpt-users.ts';
import { addDomain, refuseDomain } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import { iommuName } from './machine.ts';
import { addObject, getObject, moved, mustGet, nextId } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Device, FaultQueue, HwptNested, HwptPaging, Ioas, Viommu } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import { acquireViommu } from './viommu-users.ts';

/** Hardware page tables: hw_pagetable.c of iommufd. */

const ALLOC = offsetsOf(IOMMU_HWPT_ALLOC);
const { NEST_PARENT, DIRTY_TRACKING, FAULT_ID_VALID, PASID } = IOMMU_HWPT_ALLOC_FLAGS;

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
  'pt_id names neither an IOAS nor a paging HWPT nor, where the kernel has them, a vIOMMU',
);
const PAGING_FLAGS = reason(
  'hwpt-flags-unsupported',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_paging_alloc',
  'a flag that a paging HWPT of this kernel does not take',
);
const DRIVER_WITHOUT_FLAGS = reason(
  'driver-without-flags',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_paging_alloc',
  'the IOMMU driver makes page tables without flags and user data only',
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
const NEST_PARENT_WITH_FAULTS = reason(
  'nest-parent-with-faults',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_paging_alloc',
  'a nest parent can not report faults to a queue',
);
const FAULT_QUEUE_NOT_FOUND = reason(
  'fault-queue-not-found',
  'ENOENT',
  'hw_pagetable.c iommufd_hwpt_alloc',
  'no fault queue has the id given as fault_id',
);

/** The driver data and fault queue that the call names, and whether they may be used. */
interface Request {
  readonly device: Device;
  readonly flags: number;
  readonly data: UserData;
  readonly queue: FaultQueue | undefined;
  /** Refusal of the fault queue: told after the driver has made the domain. */
  readonly badQueue: Refusal;
}

export function hwptAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, ALLOC.__reserved) !== 0) return RESERVED_SET;
  const { has } = kernel.profile;
  if (!has.nesting && u32(call, ALLOC.flags) !== 0) return PAGING_FLAGS;
  const dataType = u32(call, ALLOC.data_type);
  const dataLength = u32(call, ALLOC.data_len);
  if ((dataType === IOMMU_HWPT_DATA.NONE) !== (dataLength === 0)) return DATA_TYPE_AND_LENGTH;
  const device = getObject(context, u32(call, ALLOC.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const parent = context.objects[u32(call, ALLOC.pt_id)];
  // Before page tables could be nested, only an IOAS was looked up.
  if (!has.nesting && parent?.type !== 'ioas') return IOAS_NOT_FOUND;
  if (parent === undefined) return PARENT_NOT_FOUND;
  const request = readRequest(kernel, context, device, { type: dataType, length: dataLength });
  let refusal: Refusal;
  if (parent.type === 'ioas') refusal = allocPaging(kernel, context, parent, request);
  else if (parent.type === 'hwpt-paging') refusal = allocOnPaging(kernel, context, parent, request);
  else if (parent.type === 'viommu') refusal = allocOnViommu(kernel, context, parent, request);
  else refusal = PARENT_OF_WRONG_TYPE;
  if (refusal !== null) return refusal;
  respond(call, IOMMU_HWPT_ALLOC.sizeBytes);
  return null;
}

function readRequest(
  kernel: Kernel,
  context: Context,
  device: Device,
  given: Pick<UserData, 'type' | 'length'>,
): Request {
  const { call } = kernel;
  const data = {
    ...given,
    page: fieldPage(call, ALLOC.data_uptr),
    offset: fieldOffset(call, ALLOC.data_uptr),
  };
  const flags = u32(call, ALLOC.flags);
  if ((flags & FAULT_ID_VALID) === 0) return { device, flags, data, queue: undefined, badQueue: null };
  const queue = getObject(context, u32(call, ALLOC.fault_id), 'fault');
  return { device, flags, data, queue, badQueue: queue === undefined ? FAULT_QUEUE_NOT_FOUND : null };
}

function allocPaging(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  { device, flags, data, queue, badQueue }: Request,
): Refusal {
  const refusal = refusePaging(kernel, device, flags, data);
  if (refusal !== null) return refusal;
  const hwpt = newPaging(kernel, context, ioas, device, flags, data);
  const unfit = refuseDomain(kernel, ioas, hwpt.domain) ?? badQueue;
  if (unfit !== null) return unfit;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  installPaging(kernel, context, ioas, hwpt);
  if (queue !== undefined) acquireFault(hwpt, queue);
  setU32(kernel.call, ALLOC.out_hwpt_id, hwpt.id);
  return null;
}

/** What `iommufd_hwpt_paging_alloc` and the driver refuse before the domain meets the IOAS. */
export function refusePaging(kernel: Kernel, device: Device, flags: number, data: UserData): Refusal {
  const { has } = kernel.profile;
  const driver = DRIVERS[device.driver];
  if (!driver.takesFlags && (flags !== 0 || data.length > 0)) return DRIVER_WITHOUT_FLAGS;
  const known =
    NEST_PARENT | DIRTY_TRACKING | (has.faultOnPaging ? FAULT_ID_VALID : 0) | (has.pasid ? PASID : 0);
  if ((flags & ~known) !== 0) return PAGING_FLAGS;
  if ((flags & DIRTY_TRACKING) !== 0 && !driver.isDirtyCapable(kernel, device)) return NO_DIRTY_CAPABILITY;
  const isFaultingParent = (flags & FAULT_ID_VALID) !== 0 && (flags & NEST_PARENT) !== 0;
  if (has.refusesFaultOnNestParent && isFaultingParent) return NEST_PARENT_WITH_FAULTS;
  // The core keeps FAULT_ID_VALID for itself.
  return driver.refusePaging(kernel, device, flags & ~FAULT_ID_VALID, data);
}

/**
 * A paging HWPT with a domain of the device's driver, which `refusePaging` has let pass. Nobody knows it yet.
 */
export function newPaging(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  device: Device,
  flags: number,
  data: UserData,
  auto = false,
): HwptPaging {
  const driver = DRIVERS[device.driver];
  return {
    type: 'hwpt-paging',
    id: nextId(context),
    users: 1,
    lifecycle: hwptPagingLifecycle.initial,
    ioas: ioas.id,
    auto,
    nestParent: (flags & NEST_PARENT) !== 0,
    enforceCacheCoherency: driver.enforcesCoherency(kernel, device),
    pasidCompatible: (flags & PASID) !== 0,
    fault: 0,
    tracking: false,
    domain: driver.makePaging(kernel, device, flags & ~FAULT_ID_VALID, data),
  };
}

/** Adds the HWPT to its context and fills its domain; everything has been checked. */
export function installPaging(kernel: Kernel, context: Context, ioas: Ioas, hwpt: HwptPaging): void {
  const { event, guard, initial } = hwptPagingLifecycle;
  hwpt.lifecycle = moved(
    hwptPagingLifecycle.step(initial, event.FINALIZE, hwpt.auto ? guard.auto : 0),
    'making a HWPT',
  );
  addObject(kernel, context, hwpt);
  acquireIoas(ioas);
  addDomain(kernel, ioas, hwpt.id, hwpt.domain);
  ioas.hwpts.push(hwpt.id);
}

function allocOnPaging(kernel: Kernel, context: Context, parent: HwptPaging, request: Request): Refusal {
  const refusal = refuseNestedFlags(kernel, request);
  if (refusal !== null) return refusal;
  const { nestsOnParent, takesFlags } = DRIVERS[request.device.driver];
  // One operation made all page tables at first: a driver that has it was asked only after the parent.
  const hasOperation = kernel.profile.has.pagingFlagsOp ? nestsOnParent : takesFlags;
  if (!hasOperation) return NO_NESTING;
  const isForeign = parent.domain.driver !== request.device.driver;
  if (parent.auto || !parent.nestParent || isForeign) return NOT_A_NEST_PARENT;
  if (!nestsOnParent) return NO_NESTING;
  return allocNested(kernel, context, parent, null, request);
}

function allocOnViommu(kernel: Kernel, context: Context, viommu: Viommu, request: Request): Refusal {
  const { device } = request;
  if (viommu.driver !== device.driver || viommu.iommu !== iommuName(kernel, device)) return OTHER_IOMMU;
  const refusal = refuseNestedFlags(kernel, request);
  if (refusal !== null) return refusal;
  if (!DRIVERS[device.driver].nestsOnViommu) return NO_NESTING;
  return allocNested(kernel, context, mustGet(context, viommu.hwpt, 'hwpt-paging'), viommu, request);
}

function refuseNestedFlags(kernel: Kernel, { flags, data }: Request): Refusal {
  const { has } = kernel.profile;
  const known = (has.faultQueues ? FAULT_ID_VALID : 0) | (has.pasid ? PASID : 0);
  return (flags & ~known) !== 0 || data.length === 0 ? NESTED_FLAGS : null;
}

/** `iommufd_hwpt_nested_alloc` and `iommufd_viommu_alloc_hwpt_nested`, after the flags. */
function allocNested(
  kernel: Kernel,
  context: Context,
  parent: HwptPaging,
  viommu: Viommu | null,
  { device, flags, data, queue, badQueue }: Request,
): Refusal {
  const driver = DRIVERS[device.driver];
  const contents = driver.makeNested(kernel, device, parent, viommu, flags & ~FAULT_ID_VALID, data);
  if ('refusal' in contents) return contents.refusal;
  if (badQueue !== null) return badQueue;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const hwpt: HwptNested = {
    type: 'hwpt-nested',
    id: nextId(context),
    users: 1,
    lifecycle: hwptNestedLifecycle.initial,
    parent: parent.id,
    viommu: viommu?.id ?? 0,
    pasidCompatible: (flags & PASID) !== 0,
    fault: 0,
    iotlb: contents.iotlb,
    driver: device.driver,
    data: contents.data,
  };
  addObject(kernel, context, hwpt);
  if (viommu === null) acquireHwpt(parent, 'nested');
  else acquireViommu(viommu);
  if (queue !== undefined) acquireFault(hwpt, queue);
  setU32(kernel.call, ALLOC.out_hwpt_id, hwpt.id);
  return null;
}
