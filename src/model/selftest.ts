import { IOMMU_TEST_CMD, IOMMU_TEST_OP, offsetsOf, unionOffsetsOf } from '../uapi/index.ts';
import { addWide, subWide, wide } from './address.ts';
import { BAD_USER_POINTER, IOAS_NOT_FOUND } from './check.ts';
import {
  attachedTo,
  changeAttachment,
  detachDevice,
  makeDevice,
  mockIdentity,
  unbindDevice,
} from './device.ts';
import { getDmabuf, revokeDmabuf } from './dmabuf.ts';
import { mockDeviceFlags } from './drivers/mock-device.ts';
import { addReserved, refuseReserve } from './iova-domains.ts';
import type { Answer, Kernel } from './kernel.ts';
import { addObject, getObject, mustGet, nextId } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import { accessPages, createAccess, destroyAccessPages, replaceAccessIoas } from './selftest-access.ts';
import { checkIotlb, checkMap, checkRefs } from './selftest-check.ts';
import { setDirty } from './selftest-dirty.ts';
import { triggerFault } from './selftest-fault.ts';
import { changePasid, checkPasid, detachPasid, selftestDevice } from './selftest-pasid.ts';
import { accessReadWrite } from './selftest-rw.ts';
import { checkDeviceCache, triggerVevent } from './selftest-viommu.ts';
import { RID } from './slots.ts';
import type { Context, Selftest } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';

/** IOMMU_TEST_CMD: the selftest's own command (CONFIG_IOMMUFD_TEST), selftest.c of iommufd. */

const CMD = offsetsOf(IOMMU_TEST_CMD);
const RESERVED = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.ADD_RESERVED);
const DOMAIN = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS);
const REPLACE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE);
const LIMIT = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT);
/** An element of the page batch: one page number and one count. */
const LEAST_MEMORY_LIMIT = 12;

const OP_UNKNOWN = reason(
  'selftest-operation-unknown',
  'EOPNOTSUPP',
  'selftest.c iommufd_test',
  'the selftest of this kernel has no such operation',
);
const RESERVED_EMPTY = reason(
  'reserved-range-empty',
  'EINVAL',
  'selftest.c iommufd_test_add_reserved',
  'the length of the range to be reserved is zero',
);
const RESERVED_WRAPS = reason(
  'reserved-range-wraps',
  'EOVERFLOW',
  'selftest.c iommufd_test_add_reserved',
  'the range to be reserved wraps past 2^64',
);
const DEVICE_FLAGS_UNKNOWN = reason(
  'mock-device-flags',
  'EINVAL',
  'selftest.c mock_dev_create',
  'a flag of the mock device that this kernel does not know',
);
const MOCK_UNPROBED = reason(
  'mock-device-unprobed',
  'EINVAL',
  'device.c iommufd_device_bind',
  'on a machine with a VT-d or AMD IOMMU this kernel does not put mock devices behind the mock one',
);
const LIMIT_TOO_SMALL = reason(
  'memory-limit-too-small',
  'EINVAL',
  'selftest.c iommufd_test',
  'the temporary memory limit does not hold one element',
);

export function selftest(kernel: Kernel, context: Context): Answer {
  const { call } = kernel;
  const { id } = CMD;
  if (u32(call, CMD.op) > kernel.profile.lastTestOp) return OP_UNKNOWN;
  switch (u32(call, CMD.op)) {
    case IOMMU_TEST_OP.ADD_RESERVED:
      return addReservedRange(kernel, context);
    case IOMMU_TEST_OP.MOCK_DOMAIN:
      return mockDomain(kernel, context, 0);
    case IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS:
      return mockDomain(kernel, context, u32(call, DOMAIN.dev_flags));
    case IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE:
      return mockDomainReplace(kernel, context);
    case IOMMU_TEST_OP.MD_CHECK_MAP:
      return checkMap(kernel, context, u32(call, id));
    case IOMMU_TEST_OP.MD_CHECK_REFS:
      return checkRefs(kernel);
    case IOMMU_TEST_OP.MD_CHECK_IOTLB:
      return checkIotlb(kernel, context, u32(call, id));
    case IOMMU_TEST_OP.CREATE_ACCESS:
      return createAccess(kernel, context, u32(call, id));
    case IOMMU_TEST_OP.ACCESS_REPLACE_IOAS:
      return replaceAccessIoas(kernel, u32(call, id));
    case IOMMU_TEST_OP.ACCESS_PAGES:
      return accessPages(kernel, u32(call, id));
    case IOMMU_TEST_OP.DESTROY_ACCESS_PAGES:
      return destroyAccessPages(kernel, u32(call, id));
    case IOMMU_TEST_OP.ACCESS_RW:
      return accessReadWrite(kernel, u32(call, id));
    case IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT:
      // It bounds how much the kernel pins at a time and changes no answer.
      return u32(call, LIMIT.limit) < LEAST_MEMORY_LIMIT ? LIMIT_TOO_SMALL : null;
    case IOMMU_TEST_OP.TRIGGER_IOPF:
      return triggerFault(kernel, context);
    case IOMMU_TEST_OP.DIRTY:
      return setDirty(kernel, context, u32(call, id));
    default:
      return newerOperation(kernel, context);
  }
}

/** Operations that came with PASID attachments, vIOMMUs and dma-bufs. */
function newerOperation(kernel: Kernel, context: Context): Answer {
  const { call } = kernel;
  const { has } = kernel.profile;
  const op = u32(call, CMD.op);
  if (has.viommu && op === IOMMU_TEST_OP.DEV_CHECK_CACHE)
    return checkDeviceCache(kernel, context, u32(call, CMD.id));
  if (has.viommu && op === IOMMU_TEST_OP.TRIGGER_VEVENT) return triggerVevent(kernel, context);
  if (has.pasid && op === IOMMU_TEST_OP.PASID_ATTACH) return changePasid(kernel, context, false);
  if (has.pasid && op === IOMMU_TEST_OP.PASID_REPLACE) return changePasid(kernel, context, true);
  if (has.pasid && op === IOMMU_TEST_OP.PASID_DETACH) return detachPasid(kernel, context);
  if (has.pasid && op === IOMMU_TEST_OP.PASID_CHECK_HWPT) return checkPasid(kernel, context);
  if (has.dmabuf && op === IOMMU_TEST_OP.DMABUF_GET) return getDmabuf(kernel);
  if (has.dmabuf && op === IOMMU_TEST_OP.DMABUF_REVOKE) return revokeDmabuf(kernel);
  return OP_UNKNOWN;
}

function addReservedRange(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const startPage = fieldPage(call, RESERVED.start);
  const startOffset = fieldOffset(call, RESERVED.start);
  const lengthPage = fieldPage(call, RESERVED.length);
  const lengthOffset = fieldOffset(call, RESERVED.length);
  if (lengthPage === 0 && lengthOffset === 0) return RESERVED_EMPTY;
  const last = wide();
  subWide(last, lengthPage, lengthOffset, 0, 1);
  if (addWide(last, startPage, startOffset, last.page, last.offset)) return RESERVED_WRAPS;
  const ioas = getObject(context, u32(call, CMD.id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  const range = { startPage, startOffset, lastPage: last.page, lastOffset: last.offset, owner: 'test' };
  const refusal = refuseReserve(kernel, ioas, range);
  if (refusal === null) addReserved(kernel, ioas, [range]);
  return refusal;
}

/**
 * Makes a mock device and attaches it: takes the ids of the selftest object, the device, then an automatic
 * HWPT.
 */
/**
 * A device without firmware's description went to the first IOMMU driver without one: to that of VT-d or AMD
 * where there is one, which refuses it, so that the mock device is behind no IOMMU.
 */
function isMockUnprobed({ machine, profile }: Kernel): boolean {
  if (profile.has.mockHasFwspec) return false;
  return machine.iommus.some(({ driver }) => driver === 'vtd' || driver === 'amd');
}

function mockDomain(kernel: Kernel, context: Context, flags: number): Refusal {
  const { call } = kernel;
  if ((flags & ~mockDeviceFlags(kernel)) !== 0) return DEVICE_FLAGS_UNKNOWN;
  if (isMockUnprobed(kernel)) return MOCK_UNPROBED;
  const id = nextId(context);
  // The id of the unfinished selftest object is taken, but it can not be found yet; the device can.
  context.constructing = id;
  const device = makeDevice(context, nextId(context), mockIdentity(kernel, flags));
  context.objects[device.id] = device;
  let refusal = changeAttachment(kernel, context, device, RID, u32(call, CMD.id), false);
  context.constructing = 0;
  if (refusal === null && !canRespond(kernel)) {
    detachDevice(kernel, context, device, RID);
    refusal = BAD_USER_POINTER;
  }
  if (refusal !== null) {
    delete context.objects[device.id];
    delete context.groups[device.group];
    return refusal;
  }
  const object: Selftest = { type: 'selftest', id, users: 1, lifecycle: 0, device: device.id };
  addObject(kernel, context, object);
  addObject(kernel, context, device);
  setU32(call, DOMAIN.out_stdev_id, object.id);
  setU32(call, DOMAIN.out_hwpt_id, attachedTo());
  if (kernel.profile.has.mockTellsDevice) setU32(call, DOMAIN.out_idev_id, device.id);
  respond(call, IOMMU_TEST_CMD.sizeBytes);
  return null;
}

function mockDomainReplace(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const device = selftestDevice(kernel, context);
  if ('errno' in device) return device;
  const refusal = changeAttachment(kernel, context, device, RID, u32(call, REPLACE.pt_id), true);
  if (refusal !== null) return refusal;
  setU32(call, REPLACE.pt_id, attachedTo());
  respond(call, IOMMU_TEST_CMD.sizeBytes);
  return null;
}

/** `iommufd_selftest_destroy`: detaches and unbinds the mock device. */
export function destroySelftest(kernel: Kernel, context: Context, object: Selftest): void {
  const device = mustGet(context, object.device, 'device');
  detachDevice(kernel, context, device, RID);
  unbindDevice(kernel, context, device);
}
