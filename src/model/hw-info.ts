import { IOMMU_GET_HW_INFO, IOMMU_GET_HW_INFO_FLAGS, IOMMU_HW_CAP, offsetsOf } from '../uapi/index.ts';
import { addWide, wide } from './address.ts';
import { BAD_USER_POINTER, DEVICE_NOT_FOUND, RESERVED_SET, UNKNOWN_FLAGS } from './check.ts';
import { can, deviceName, physicalOf } from './drivers/facts.ts';
import { DRIVERS } from './drivers/index.ts';
import type { Kernel } from './kernel.ts';
import { getObject } from './objects.ts';
import type { Refusal } from './reason.ts';
import type { Context, Device } from './state.ts';
import { knownBytes } from './user-bytes.ts';
import { fieldOffset, fieldPage, respond, setU32, setU64, u32 } from './user-call.ts';
import { canWrite, copyToUser } from './user-copy.ts';

/** IOMMU_GET_HW_INFO: device.c iommufd_get_hw_info. */

const INFO = offsetsOf(IOMMU_GET_HW_INFO);
/** Zeroes that the model writes behind the data: a length of 4 GiB must not cost as much memory here. */
const MOST_ZEROED = 2 ** 20;

export function getHwInfo(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const { has } = kernel.profile;
  const flags = u32(call, INFO.flags);
  if ((flags & ~(has.hwInfoInputType ? IOMMU_GET_HW_INFO_FLAGS.INPUT_TYPE : 0)) !== 0) return UNKNOWN_FLAGS;
  for (let at = 0; at < 3; at += 1) if (call.struct[INFO.__reserved + at] !== 0) return RESERVED_SET;
  // The byte that answers the PASIDs was reserved before.
  if (!has.hwInfoPasid && call.struct[INFO.out_max_pasid_log2] !== 0) return RESERVED_SET;
  const device = getObject(context, u32(call, INFO.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const driver = DRIVERS[device.driver];
  const info = driver.hwInfo(kernel, device, flags === 0 ? 0 : u32(call, INFO.out_data_type));
  if ('refusal' in info) return info.refusal;
  const { type, bytes } = info;
  const room = u32(call, INFO.data_len);
  const copied = Math.min(room, bytes.length);
  const page = fieldPage(call, INFO.data_uptr);
  const offset = fieldOffset(call, INFO.data_uptr);
  const isOpen = call.rests.some(({ fact }) => fact === 'hw info');
  const known = isOpen ? new Uint8Array(copied) : null;
  const data = { length: copied, bytes: bytes.subarray(0, copied), known };
  if (!copyToUser(kernel, page, offset, data)) return BAD_USER_POINTER;
  if (copied < room) {
    // A longer buffer than the kernel fills is zeroed to its end.
    const rest = wide();
    addWide(rest, page, offset, 0, copied);
    if (!canWrite(kernel, rest.page, rest.offset, room - copied)) return BAD_USER_POINTER;
    const zeroes = new Uint8Array(Math.min(room - copied, MOST_ZEROED));
    if (!copyToUser(kernel, rest.page, rest.offset, knownBytes(zeroes))) return BAD_USER_POINTER;
  }
  setU32(call, INFO.data_len, bytes.length);
  setU32(call, INFO.out_data_type, type);
  const pasids = has.hwInfoPasid ? driver.pasidLimit(kernel, device) : 0;
  call.struct[INFO.out_max_pasid_log2] = pasids === 0 ? 0 : Math.log2(pasids);
  const dirty = driver.isDirtyCapable(kernel, device) ? IOMMU_HW_CAP.DIRTY_TRACKING : 0;
  const ats =
    has.reportsMissingAts && !driver.supportsAts(kernel, device) ? IOMMU_HW_CAP.PCI_ATS_NOT_SUPPORTED : 0;
  setU64(call, INFO.out_capabilities, 0, dirty | ats | pasidCapabilities(kernel, device, pasids));
  respond(call, IOMMU_GET_HW_INFO.sizeBytes);
  return null;
}

/** What the PASID capability of a PCI device has switched on; the mock one is no PCI device. */
function pasidCapabilities(kernel: Kernel, device: Device, pasids: number): number {
  if (pasids === 0 || device.physical < 0 || !kernel.profile.has.pasid) return 0;
  const owner = deviceName(physicalOf(kernel, device));
  const executes = can(kernel, owner, 'PASID execution', null) ? IOMMU_HW_CAP.PCI_PASID_EXEC : 0;
  return executes | (can(kernel, owner, 'PASID privilege', null) ? IOMMU_HW_CAP.PCI_PASID_PRIV : 0);
}
