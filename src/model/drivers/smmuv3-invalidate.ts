import { IOMMU_INVALIDATE_DATA } from '../../uapi/index.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import type { Context, Viommu } from '../state.ts';
import { virtualKey } from '../virtual-key.ts';
import type { EntryArray, Invalidated } from './driver.ts';
import { readWholeArray } from './entry-array.ts';

/** Invalidation commands of a guest's SMMU: arm_vsmmu_cache_invalidate of arm-smmu-v3-iommufd.c. */

const COMMAND_BYTES = 16;
/** CMDQ_OP_TLBI_NH_ALL, _ASID, _VA, _VAA, NSNH_ALL: the VMID is the kernel's own. */
const TLB_COMMANDS: ReadonlySet<number> = new Set([0x10, 0x11, 0x12, 0x13, 0x30]);
/** CMDQ_OP_CFGI_CD, CFGI_CD_ALL, ATC_INV: they name a stream. */
const STREAM_COMMANDS: ReadonlySet<number> = new Set([0x05, 0x06, 0x40]);

const COMMAND = reason(
  'smmuv3-command-not-allowed',
  'EIO',
  'arm-smmu-v3-iommufd.c arm_vsmmu_convert_user_cmd',
  'a guest may not give this command',
);
const STREAM = reason(
  'smmuv3-stream-unknown',
  'EIO',
  'arm-smmu-v3-iommufd.c arm_vsmmu_vsid_to_sid',
  'no vDEVICE of the vIOMMU has the stream id of the command',
);

export function invalidateSmmuv3(
  kernel: Kernel,
  _context: Context,
  viommu: Viommu,
  array: EntryArray,
): Invalidated {
  const type = IOMMU_INVALIDATE_DATA.VIOMMU_ARM_SMMUV3;
  const commands = readWholeArray(kernel, array, type, COMMAND_BYTES);
  if (!Array.isArray(commands)) return { done: 0, refusal: commands.refusal };
  for (const [done, command] of commands.entries()) {
    const refusal = refuseCommand(viommu, command);
    if (refusal !== null) return { done, refusal };
  }
  return { done: commands.length, refusal: null };
}

function refuseCommand(viommu: Viommu, command: DataView): Refusal {
  const opcode = command.getUint8(0);
  if (TLB_COMMANDS.has(opcode)) return null;
  if (!STREAM_COMMANDS.has(opcode)) return COMMAND;
  const stream = command.getUint32(4, true);
  return viommu.vdevices[virtualKey(Math.floor(stream / 4096), stream % 4096)] === undefined ? STREAM : null;
}
