import { IOMMU_OPTION, IOMMU_OPTION_ID, IOMMU_OPTION_OP, offsetsOf } from '../uapi/index.ts';
import { IOAS_NOT_FOUND, RESERVED_SET } from './check.ts';
import { disableLargePages, updateAlignment } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import { getObject } from './objects.ts';
import { limitsOfProcess } from './process-limits.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';
import { fieldOffset, fieldPage, respondField, setU64, u16, u32 } from './user-call.ts';

/** IOMMU_OPTION: main.c and ioas.c of iommufd. */

const OPTION = offsetsOf(IOMMU_OPTION);

const OPTION_UNKNOWN = reason(
  'option-unknown',
  'EOPNOTSUPP',
  'main.c iommufd_option',
  'the option is not known to this kernel',
);
const OPTION_OP_UNKNOWN = reason(
  'option-operation-unknown',
  'EOPNOTSUPP',
  'ioas.c iommufd_option_rlimit_mode, iommufd_ioas_option_huge_pages',
  'the operation is neither SET nor GET',
);
const OPTION_OBJECT = reason(
  'option-object-set',
  'EOPNOTSUPP',
  'ioas.c iommufd_option_rlimit_mode',
  'RLIMIT_MODE belongs to the whole context and takes no object id',
);
const CONTEXT_NOT_EMPTY = reason(
  'context-not-empty',
  'EBUSY',
  'ioas.c iommufd_option_rlimit_mode',
  'RLIMIT_MODE can be set only while the context has no object',
);
const OPTION_NOT_PERMITTED = reason(
  'option-not-permitted',
  'EPERM',
  'ioas.c iommufd_option_rlimit_mode',
  'setting RLIMIT_MODE takes CAP_SYS_RESOURCE',
);
const OPTION_VALUE = reason(
  'option-value',
  'EINVAL',
  'ioas.c iommufd_option_rlimit_mode, iommufd_ioas_option_huge_pages',
  'the value is neither 0 nor 1',
);

export function option(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u16(call, OPTION.__reserved) !== 0) return RESERVED_SET;
  const id = u32(call, OPTION.option_id);
  let refusal: Refusal;
  if (id === IOMMU_OPTION_ID.RLIMIT_MODE) refusal = rlimitMode(kernel, context);
  else if (id === IOMMU_OPTION_ID.HUGE_PAGES) refusal = hugePages(kernel, context);
  else return OPTION_UNKNOWN;
  if (refusal !== null) return refusal;
  respondField(call, OPTION.val64, 8);
  return null;
}

/** val64 when it is 0 or 1, else -1. */
function booleanValue(kernel: Kernel): number {
  const offset = fieldOffset(kernel.call, OPTION.val64);
  return fieldPage(kernel.call, OPTION.val64) === 0 && offset <= 1 ? offset : -1;
}

/** `iommufd_option_rlimit_mode`. */
function rlimitMode(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, OPTION.object_id) !== 0) return OPTION_OBJECT;
  const op = u16(call, OPTION.op);
  if (op === IOMMU_OPTION_OP.GET) {
    setU64(call, OPTION.val64, 0, context.accountMode === 'mm' ? 1 : 0);
    return null;
  }
  if (op !== IOMMU_OPTION_OP.SET) return OPTION_OP_UNKNOWN;
  if (!limitsOfProcess(kernel.state.processes[call.pid]!).sysResource) return OPTION_NOT_PERMITTED;
  if (Object.keys(context.objects).length + Object.keys(context.tombstones).length > 0)
    return CONTEXT_NOT_EMPTY;
  const value = booleanValue(kernel);
  if (value < 0) return OPTION_VALUE;
  context.accountMode = value === 1 ? 'mm' : 'user';
  return null;
}

/** `iommufd_ioas_option_huge_pages`. */
function hugePages(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const ioas = getObject(context, u32(call, OPTION.object_id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  const op = u16(call, OPTION.op);
  if (op === IOMMU_OPTION_OP.GET) {
    setU64(call, OPTION.val64, 0, ioas.largePagesOff ? 0 : 1);
    return null;
  }
  if (op !== IOMMU_OPTION_OP.SET) return OPTION_OP_UNKNOWN;
  const value = booleanValue(kernel);
  if (value === 0) return disableLargePages(kernel, context, ioas);
  if (value !== 1) return OPTION_VALUE;
  ioas.largePagesOff = false;
  updateAlignment(kernel, context, ioas);
  return null;
}
