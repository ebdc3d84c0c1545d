import {
  IOMMU_GET_HW_INFO,
  IOMMU_GET_HW_INFO_FLAGS,
  IOMMU_HW_CAP,
  IOMMU_HW_INFO_TYPE,
  offsetsOf,
} from '../uapi/index.ts';
import { addWide, wide } from './address.ts';
import { BAD_USER_POINTER, DEVICE_NOT_FOUND, RESERVED_SET, UNKNOWN_FLAGS } from './check.ts';
import type { Kernel } from './kernel.ts';
import { isDirtyCapable, MOCK_HW_INFO, mockPasidLimit } from './mock-iommu.ts';
import { getObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';
import { knownBytes } from './user-bytes.ts';
import { fieldOffset, fieldPage, respond, setU32, setU64, u32 } from './user-call.ts';
import { copyToUser } from './user-copy.ts';

/** IOMMU_GET_HW_INFO: device.c iommufd_get_hw_info. */

const INFO = offsetsOf(IOMMU_GET_HW_INFO);

const TYPE_UNSUPPORTED = reason(
  'hw-info-type-unsupported',
  'EOPNOTSUPP',
  'selftest.c mock_domain_hw_info',
  'the IOMMU driver does not have information of the type asked for',
);

export function getHwInfo(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const { has } = kernel.profile;
  const flags = u32(call, INFO.flags);
  if ((flags & ~(has.hwInfoInputType ? IOMMU_GET_HW_INFO_FLAGS.INPUT_TYPE : 0)) !== 0) return UNKNOWN_FLAGS;
  for (let at = 0; at < 3; at += 1) if (call.struct[INFO.__reserved + at] !== 0) return RESERVED_SET;
  const device = getObject(context, u32(call, INFO.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const { type, bytes } = MOCK_HW_INFO;
  const asked = flags === 0 ? IOMMU_HW_INFO_TYPE.NONE : u32(call, INFO.out_data_type);
  if (asked !== IOMMU_HW_INFO_TYPE.NONE && asked !== type) return TYPE_UNSUPPORTED;
  const room = u32(call, INFO.data_len);
  const copied = Math.min(room, bytes.length);
  const page = fieldPage(call, INFO.data_uptr);
  const offset = fieldOffset(call, INFO.data_uptr);
  if (!copyToUser(kernel, page, offset, knownBytes(bytes.subarray(0, copied)))) return BAD_USER_POINTER;
  if (copied < room) {
    // A longer buffer than the kernel fills is zeroed to its end.
    const rest = wide();
    addWide(rest, page, offset, 0, copied);
    if (!copyToUser(kernel, rest.page, rest.offset, knownBytes(new Uint8Array(room - copied))))
      return BAD_USER_POINTER;
  }
  setU32(call, INFO.data_len, bytes.length);
  setU32(call, INFO.out_data_type, type);
  call.struct[INFO.out_max_pasid_log2] = Math.log2(mockPasidLimit(device));
  const dirty = isDirtyCapable(device) ? IOMMU_HW_CAP.DIRTY_TRACKING : 0;
  const ats = has.reportsMissingAts ? IOMMU_HW_CAP.PCI_ATS_NOT_SUPPORTED : 0;
  setU64(call, INFO.out_capabilities, 0, dirty | ats);
  respond(call, IOMMU_GET_HW_INFO.sizeBytes);
  return null;
}
