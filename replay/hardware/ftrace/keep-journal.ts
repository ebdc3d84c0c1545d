import { exitProcess, type Kernel } from '../../../src/model/index.ts';
import type { IoctlCall } from '../../../src/trace/index.ts';
import {
  CMD,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FLAGS,
  offsetsOf,
  VFIO_IOMMU_MAP_DMA,
} from '../../../src/uapi/index.ts';
import type { Store, TraceInfo } from '../../../store/index.ts';
import { followTrace } from '../../replayer.ts';
import { afterCall, historySink } from '../follow-history.ts';
import { createHistory } from '../history.ts';
import { createJournal, type Journal, type JournalOp, note, stampCall } from '../journal.ts';
import { attachSink, createAttachments, noteOwners } from './attachments.ts';

/** What the kernel did to domains over a whole trace, in its order. */

export interface KeptJournal {
  readonly ops: readonly JournalOp[];
  /** Ops from here on happen when the processes of the trace end, which it may not show. */
  readonly exitAt: number;
  readonly kernel: Kernel;
  /** Processes and threads of the trace; threads only where it tells them. */
  readonly tasks: ReadonlySet<number>;
}

/** Number of the call for what the end of a process causes. */
export const AT_EXIT = Number.MAX_SAFE_INTEGER;

export function keepJournal(store: Store, trace: TraceInfo, kernelName: string | null): KeptJournal {
  const journal = createJournal();
  const history = createHistory(journal);
  const attachments = createAttachments(journal);
  const tasks = new Set<number>();
  let last: Kernel | null = null;
  const start = (kernel: Kernel): void => {
    kernel.effects = attachSink(attachments, kernel, historySink(history, kernel));
    last = kernel;
  };
  followTrace(store, trace, { kernel: kernelName }, start, (kernel, call, outcome) => {
    tasks.add(call.pid);
    if (call.tid !== null) tasks.add(call.tid);
    const diverged = outcome === 'diverged';
    noteOwners(attachments, kernel);
    afterCall(history, kernel, call, diverged);
    if (call.op === 'ioctl') noteRefusal(journal, kernel, call, diverged);
    stampCall(journal, call.seq);
  });
  const kernel = last as Kernel | null;
  if (kernel === null) throw new Error('a replay began without a kernel');
  const exitAt = journal.ops.length;
  for (const pid of Object.keys(kernel.state.processes)) exitProcess(kernel, Number(pid));
  noteOwners(attachments, kernel);
  stampCall(journal, AT_EXIT);
  return { ops: journal.ops, exitAt, kernel, tasks };
}

/** Where a call that fills domains names the range in its struct; `flagsAt`: FIXED_IOVA may be missing. */
interface RangeFields {
  readonly iovaAt: number;
  readonly lengthAt: number;
  readonly flagsAt: number | null;
}

const { FIXED_IOVA } = IOMMU_IOAS_MAP_FLAGS;
const MAP = offsetsOf(IOMMU_IOAS_MAP);
const MAP_FILE = offsetsOf(IOMMU_IOAS_MAP_FILE);
const COPY = offsetsOf(IOMMU_IOAS_COPY);
const MAP_DMA = offsetsOf(VFIO_IOMMU_MAP_DMA);

const FILLING: ReadonlyMap<number, RangeFields> = new Map([
  [CMD.IOMMU_IOAS_MAP, { iovaAt: MAP.iova, lengthAt: MAP.length, flagsAt: MAP.flags }],
  [CMD.IOMMU_IOAS_MAP_FILE, { iovaAt: MAP_FILE.iova, lengthAt: MAP_FILE.length, flagsAt: MAP_FILE.flags }],
  [CMD.IOMMU_IOAS_COPY, { iovaAt: COPY.dst_iova, lengthAt: COPY.length, flagsAt: COPY.flags }],
  [CMD.VFIO_IOMMU_MAP_DMA, { iovaAt: MAP_DMA.iova, lengthAt: MAP_DMA.size, flagsAt: null }],
]);

/**
 * Calls that make a domain, or move a device to one, fill it with all there is. An attachment that makes one
 * moves the device there first, and back when the domain does not fit.
 */
const DOMAIN_CALLS: ReadonlySet<number> = new Set([
  CMD.IOMMU_HWPT_ALLOC,
  CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  CMD.VFIO_SET_IOMMU,
  CMD.VFIO_GROUP_SET_CONTAINER,
]);

/** Reasons that are found out while domains are being filled. */
const WHILE_FILLING: ReadonlySet<string> = new Set([
  'user-memory-not-pinnable',
  'file-not-pinnable',
  'page-range-wraps',
  'map-without-permission',
  'nest-parent-read-only',
  'locked-memory-of-user',
  'locked-memory-of-process',
  'type1-locked-memory',
  'type1-memory-not-pinnable',
  'areas-misaligned',
  'range-in-use',
  'iommu-page-too-large',
]);

/** A refused call may have mapped something, and then unmapped it again. */
function noteRefusal(journal: Journal, kernel: Kernel, call: IoctlCall, diverged: boolean): void {
  const { reason } = kernel.reply;
  const mayFill = DOMAIN_CALLS.has(call.cmd) || FILLING.has(call.cmd);
  const isUndone = diverged && mayFill && reason === null && call.errno !== 0;
  if (!isUndone && (reason === null || !WHILE_FILLING.has(reason.id))) return;
  // What the model let pass, or let pass until it had learned more, was taken back.
  journal.ops.length = journal.start;
  const { cmd, arg } = call;
  if (DOMAIN_CALLS.has(cmd)) {
    const devices = cmd === CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT ? devicesOf(kernel, call) : [];
    note(journal, { op: 'attempt', page: null, pageCount: null, devices });
  }
  const fields = FILLING.get(cmd);
  if (fields === undefined || arg === null) return;
  const { iovaAt, lengthAt, flagsAt } = fields;
  if (arg.length < Math.max(iovaAt, lengthAt) + 8) return;
  const struct = new DataView(arg.buffer, arg.byteOffset, arg.length);
  const isFixed = flagsAt === null || (struct.getUint32(flagsAt, true) & FIXED_IOVA) !== 0;
  const page = isFixed ? Number(struct.getBigUint64(iovaAt, true) >> 12n) : null;
  const pageCount = Number(struct.getBigUint64(lengthAt, true) >> 12n);
  note(journal, { op: 'attempt', page, pageCount, devices: [] });
}

/**
 * All devices of the group, if it was attached to nothing: replacing fills the domain before it moves any.
 */
function devicesOf({ state, machine }: Kernel, { pid, fd }: IoctlCall): number[] {
  const file = state.files[state.processes[pid]?.descriptors[fd] ?? 0];
  const group = file?.kind === 'device' ? machine.devices[file.object]?.group : undefined;
  if (group === undefined) return [];
  const held = state.contexts[state.vfio.owners[group]?.context ?? 0]?.groups[group]?.slots[0];
  if (held !== undefined) return [];
  return machine.devices.filter((device) => device.group === group).map(({ index }) => index);
}
