import type { IoctlCall } from '../trace/index.ts';
import { CMD, ERRNO, IOMMU_IOAS_MAP, offsetsOf, VFIO_IOMMU_MAP_DMA } from '../uapi/index.ts';
import { PROCESS_LIMIT, USER_LIMIT } from './accounting.ts';
import { readOffset, readPage } from './address.ts';
import { fileOf } from './descriptors.ts';
import type { Kernel } from './kernel.ts';
import { learnLimits, limitsOfProcess, setMemlock } from './process-limits.ts';
import type { OpenFile, Process } from './state.ts';
import { TYPE1_LIMIT } from './type1/locked-memory.ts';
import { mappedInto, undoMap } from './undo-map.ts';

/**
 * What replies tell of the limits of a process where no record does: it is taken to be root's, whom nothing
 * limits, until a map is refused for want of memory, or RLIMIT_MODE for want of a capability.
 */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const MAP_DMA = offsetsOf(VFIO_IOMMU_MAP_DMA);

/** Whether the reply to the call executed last may differ because of limits that nobody recorded. */
export function isLimitOpen({ state, reply }: Kernel, { pid, cmd, errno }: IoctlCall): boolean {
  if (errno === reply.errno || !reply.modelled) return false;
  const limits = state.processes[pid]?.limits;
  if (limits !== undefined && !limits.learned) return false;
  if (errno === ERRNO.EPERM) return cmd === CMD.IOMMU_OPTION && reply.errno !== 0;
  return errno === ERRNO.ENOMEM ? reply.errno === 0 : isLimit(reply.reason);
}

function isLimit(reason: Kernel['reply']['reason']): boolean {
  return reason === USER_LIMIT || reason === PROCESS_LIMIT || reason === TYPE1_LIMIT;
}

/**
 * Learns a limit from the recorded reply, after `isLimitOpen`. Answers how many facts that were: the call can
 * then be asked again, and has left nothing behind.
 */
export function learnLimit(kernel: Kernel, record: IoctlCall): number {
  const process = kernel.state.processes[record.pid];
  const file = process === undefined ? undefined : fileOf(kernel, process, record.fd);
  if (process === undefined || file === undefined) return 0;
  if (record.errno === ERRNO.EPERM) {
    if (!limitsOfProcess(process).sysResource) return 0;
    learnLimits(process).sysResource = false;
    return 1;
  }
  if (record.errno === ERRNO.ENOMEM) return learnRefusal(kernel, process, file, record);
  // More was locked than could be: what was locked before the first refusal was not counted.
  setMemlock(kernel, process, null);
  return 1;
}

/** The map was one page too many at most, so that many pages and no more can be locked. */
function learnRefusal(kernel: Kernel, process: Process, file: OpenFile, record: IoctlCall): number {
  const pages = pinnedPages(kernel, file, record);
  if (pages === 0 || !undoMap(kernel, file, record)) return 0;
  const { users, spaces } = kernel.state.locked;
  const isUsers = kernel.state.contexts[file.context]?.accountMode === 'user';
  const { uid } = limitsOfProcess(process);
  const locked = (isUsers ? users[uid] : spaces[process.mm]) ?? 0;
  learnLimits(process).ipcLock = false;
  setMemlock(kernel, process, locked + pages - 1);
  return 1;
}

/** Pages of 4096 bytes that the map executed last has pinned; 0 where it pins none, or is no map. */
function pinnedPages(kernel: Kernel, file: OpenFile, record: IoctlCall): number {
  const { view } = kernel.call;
  if (file.kind === 'container')
    return record.cmd === CMD.VFIO_IOMMU_MAP_DMA ? readPage(view, MAP_DMA.size) : 0;
  const context = kernel.state.contexts[file.context];
  const ioas = context === undefined ? undefined : mappedInto(kernel, context, record);
  if (ioas === undefined || ioas.domains.length === 0) return 0;
  const isMap = record.cmd === CMD.IOMMU_IOAS_MAP;
  const [from, length] = isMap ? [MAP.user_va, MAP.length] : [MAP_DMA.vaddr, MAP_DMA.size];
  const bytes = readOffset(view, from) + readOffset(view, length);
  return readPage(view, length) + Math.ceil(bytes / 4096);
}
