import { IOMMU_IOAS_CHANGE_PROCESS, offsetsOf } from '../uapi/index.ts';
import { someArea } from './area-table.ts';
import { RESERVED_SET } from './check.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { FROM_FILE } from './pages-table.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';
import { u32 } from './user-call.ts';

/** IOMMU_IOAS_CHANGE_PROCESS: the caller takes over all mappings of the context. ioas.c of iommufd. */

const CHANGE = offsetsOf(IOMMU_IOAS_CHANGE_PROCESS);

const NOT_A_FILE = reason(
  'change-process-needs-files',
  'EINVAL',
  'ioas.c iommufd_ioas_change_process',
  'an area maps memory of a process or a dma-buf: only memory files can change hands',
);

/** Pages of a file belong to no process, and memory limits are not modelled: nothing else changes. */
export function ioasChangeProcess(kernel: Kernel, context: Context): Refusal {
  if (u32(kernel.call, CHANGE.__reserved) !== 0) return RESERVED_SET;
  for (const object of Object.values(context.objects)) {
    if (object.type !== 'ioas') continue;
    const { areas } = spaceOf(kernel, object);
    if (someArea(areas, (slot) => kernel.pages.source[areas.pages[slot]!] !== FROM_FILE)) return NOT_A_FILE;
  }
  return null;
}
