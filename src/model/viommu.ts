import { viommuLifecycle } from '../../machines/index.ts';
import { IOMMU_VIOMMU_ALLOC, IOMMU_VIOMMU_TYPE, offsetsOf } from '../uapi/index.ts';
import { BAD_USER_POINTER, DEVICE_NOT_FOUND, HWPT_NOT_FOUND, UNKNOWN_FLAGS } from './check.ts';
import { DRIVERS } from './drivers/index.ts';
import { acquireHwpt, releaseHwpt } from './hwpt-users.ts';
import type { Kernel } from './kernel.ts';
import { iommuName } from './machine.ts';
import { addObject, getObject, mustGet, nextId } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Viommu } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond, copyFromUser, copyToUser } from './user-copy.ts';

/** vIOMMUs: viommu.c of iommufd, and the mock driver's part of it in selftest.c. */

const ALLOC = offsetsOf(IOMMU_VIOMMU_ALLOC);
/**
 * struct iommu_viommu_selftest: in_data, out_data, out_mmap_offset, out_mmap_length; the last two are
 * optional.
 */
const DATA_BYTES = 24;
const LEAST_DATA_BYTES = 8;
/** Pages of the mock vIOMMU's window. */
const WINDOW_PAGES = 2;

const NOT_A_NEST_PARENT = reason(
  'viommu-needs-nest-parent',
  'EINVAL',
  'viommu.c iommufd_viommu_alloc_ioctl',
  'the hardware page table was allocated without NEST_PARENT',
);
const OTHER_PARENT = reason(
  'viommu-parent-of-other-iommu',
  'EINVAL',
  'arm-smmu-v3-iommufd.c arm_vsmmu_init',
  'the nest parent was made for another IOMMU than that of the device',
);
const DATA_LENGTH = reason(
  'viommu-data-length',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_user',
  'the driver data is shorter or longer than the driver takes',
);

export function viommuAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const type = u32(call, ALLOC.type);
  if (u32(call, ALLOC.flags) !== 0 || type === IOMMU_VIOMMU_TYPE.DEFAULT) return UNKNOWN_FLAGS;
  const device = getObject(context, u32(call, ALLOC.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const unsupported = DRIVERS[device.driver].refuseViommu(kernel, device, type);
  if (unsupported !== null) return unsupported;
  const parent = getObject(context, u32(call, ALLOC.hwpt_id), 'hwpt-paging');
  if (parent === undefined) return HWPT_NOT_FOUND;
  if (!parent.nestParent) return NOT_A_NEST_PARENT;
  const iommu = iommuName(kernel, device);
  if (parent.domain.driver !== device.driver || parent.domain.iommu !== iommu) return OTHER_PARENT;
  // Only the mock driver takes data; the others do not look at it.
  const length = device.driver === 'mock' ? u32(call, ALLOC.data_len) : 0;
  const window = length === 0 ? 0 : lowestWindow(kernel, context);
  const refusal = length === 0 ? null : loopData(kernel, length, window);
  if (refusal !== null) return refusal;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const viommu: Viommu = {
    type: 'viommu',
    driver: device.driver,
    iommu,
    id: nextId(context),
    users: 1,
    lifecycle: viommuLifecycle.initial,
    hwpt: parent.id,
    vdevices: {},
    veventqs: {},
    hwQueues: {},
    window,
  };
  addObject(kernel, context, viommu);
  acquireHwpt(parent, 'viommu');
  setU32(call, ALLOC.out_viommu_id, viommu.id);
  respond(call, IOMMU_VIOMMU_ALLOC.sizeBytes);
  return null;
}

/** `iommufd_viommu_destroy`. */
export function destroyViommu(kernel: Kernel, context: Context, viommu: Viommu): void {
  releaseHwpt(kernel, context, mustGet(context, viommu.hwpt, 'hwpt-paging'));
}

/**
 * Lowest free offset for a window, in pages of 4096 bytes: `_iommufd_alloc_mmap` never gives the first page.
 */
function lowestWindow(kernel: Kernel, context: Context): number {
  const unit = kernel.profile.pageBytes / 4096;
  const taken = new Set<number>();
  for (const object of Object.values(context.objects)) {
    if (object.type !== 'viommu' || object.window === 0) continue;
    for (let page = 0; page < WINDOW_PAGES; page += 1) taken.add(object.window / unit + page);
  }
  let first = 1;
  while (taken.has(first) || taken.has(first + 1)) first += 1;
  return first * unit;
}

/** `mock_viommu_init` with user data: gives in_data back, and tells of the window. */
function loopData(kernel: Kernel, length: number, window: number): Refusal {
  const { call } = kernel;
  if (length < LEAST_DATA_BYTES || length > DATA_BYTES) return DATA_LENGTH;
  const page = fieldPage(call, ALLOC.data_uptr);
  const offset = fieldOffset(call, ALLOC.data_uptr);
  const data = copyFromUser(kernel, page, offset, length);
  if (data === null) return BAD_USER_POINTER;
  const bytes = new Uint8Array(DATA_BYTES);
  bytes.set(data.bytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, view.getUint32(0, true), true);
  view.setBigUint64(8, BigInt(window) * 4096n, true);
  view.setBigUint64(16, BigInt(WINDOW_PAGES * kernel.profile.pageBytes), true);
  // What the kernel read, unknown bytes included, goes back as far as the user's buffer reaches.
  const known = data.known === null ? null : loopedKnown(data.known, length);
  const answer = { length, bytes: bytes.subarray(0, length), known };
  return copyToUser(kernel, page, offset, answer) ? null : BAD_USER_POINTER;
}

function loopedKnown(known: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length).fill(1);
  for (let at = 0; at < 4; at += 1) {
    out[at] = known[at]!;
    out[at + 4] = known[at]!;
  }
  return out;
}
