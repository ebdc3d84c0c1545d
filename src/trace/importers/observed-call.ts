import {
  CMD,
  type Field,
  findIoctl,
  findIoctls,
  IOCTLS,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  IOMMU_VEVENTQ_ALLOC,
  type IoctlEntry,
  offsetsOf,
  unionOffsetsOf,
} from '../../uapi/index.ts';
import type { DescriptorKind, IoctlCall, MemoryBuffer } from '../call.ts';
import type { DescriptorTable } from './descriptors.ts';

/** What an observer of system calls saw of one ioctl. */
export interface ObservedIoctl {
  readonly pid: number;
  readonly tid: number | null;
  readonly tNs: number | null;
  readonly fd: number;
  readonly kind: DescriptorKind;
  readonly cmd: number;
  readonly argp: bigint;
  readonly arg: Uint8Array | null;
  readonly out: Uint8Array | null;
  readonly mem?: readonly MemoryBuffer[];
  readonly result: { readonly ret: number; readonly errno: number } | null;
  readonly missing: readonly string[];
  readonly doubtful?: string | null;
  readonly implied?: string;
}

const IOC_TYPE = 0x3b;

/** Whether a command word is of iommufd or VFIO: `_IO(';', nr)`, without direction and size. */
export function isOurCommand(cmd: number): boolean {
  return cmd >>> 8 === IOC_TYPE;
}

/** First number of iommufd's own commands, which a container that it serves takes too. */
const IOMMUFD_NR_FIRST = 0x80;

/** The descriptor kind that a command can only be for; `?` when it has several meanings or none. */
export function kindOfCommand(cmd: number): DescriptorKind {
  const kinds = new Set(IOCTLS.filter((entry) => entry.cmd === cmd).flatMap((entry) => entry.kinds));
  if (kinds.has('iommufd') && (cmd & 0xff) >= IOMMUFD_NR_FIRST) return 'iommufd';
  return kinds.size === 1 ? [...kinds][0]! : '?';
}

const TAKES_MEMORY: ReadonlySet<number> = new Set([CMD.IOMMU_IOAS_MAP, CMD.VFIO_IOMMU_MAP_DMA]);

/** The call that was seen. Without anything missing it is as a capture would have it. */
export function observedIoctl(seen: ObservedIoctl): Omit<IoctlCall, 'seq'> {
  const { pid, tid, tNs, fd, kind, cmd, argp, arg, out, mem = [], result, doubtful, implied } = seen;
  const missing = [...seen.missing];
  if (result === null && !missing.includes('ret')) missing.push('ret');
  const isPartial = missing.length > 0 || doubtful != null || implied !== undefined;
  const note = {
    missing,
    ...(doubtful == null ? {} : { doubtful }),
    ...(implied === undefined ? {} : { implied }),
  };
  return {
    op: 'ioctl',
    pid,
    tid,
    tNs,
    extra: null,
    replied: result !== null,
    ret: result?.ret ?? 0,
    errno: result?.errno ?? 0,
    fd,
    kind,
    cmd,
    argp,
    argFault: false,
    arg,
    out,
    mem,
    newFd: null,
    ...(isPartial ? { partial: note } : {}),
  };
}

/** What is missing of a call of which the struct was seen, and neither buffers nor memory. */
export function unseenParts(kind: DescriptorKind, cmd: number, arg: Uint8Array | null): readonly string[] {
  const entry = findIoctl(kind, cmd);
  if (entry === undefined || entry.argument !== 'struct') return entry?.argument === 'string' ? ['arg'] : [];
  if (arg === null) return ['arg', 'out'];
  const missing: string[] = TAKES_MEMORY.has(cmd) ? ['memory'] : [];
  if (!TAKES_MEMORY.has(cmd) && pointsSomewhere(entry, arg)) missing.push('mem');
  return missing;
}

/** Whether a field that holds an address of user memory is not zero. */
function pointsSomewhere({ layout }: IoctlEntry, arg: Uint8Array): boolean {
  const isSet = ({ offset, kind, refers }: Field, base: number): boolean =>
    refers === 'va' &&
    kind === 'u64' &&
    arg.subarray(base + offset, base + offset + 8).some((byte) => byte !== 0);
  if (layout === null) return false;
  if (layout.fields.some((field) => isSet(field, 0))) return true;
  return layout.union === undefined
    ? false
    : Object.values(layout.union.cases).some(({ fields }) =>
        fields.some((field) => isSet(field, layout.union!.offset)),
      );
}

/** Whether the struct after a call can be that of this request: what the kernel never writes is unchanged. */
export function isReplyTo(kind: DescriptorKind, cmd: number, arg: Uint8Array, out: Uint8Array): boolean {
  if (arg.length !== out.length) return false;
  const layout = findIoctls(kind, cmd)[0]?.layout;
  if (layout == null) return true;
  return layout.fields.every(({ dir, offset, kind: width, count }) => {
    if (dir !== 'in' || count !== undefined) return true;
    const bytes = width === 'u64' ? 8 : width === 'u16' ? 2 : width === 'u8' ? 1 : 4;
    for (let at = offset; at < offset + bytes && at < arg.length; at += 1)
      if (arg[at] !== out[at]) return false;
    return true;
  });
}

const FAULT = offsetsOf(IOMMU_FAULT_QUEUE_ALLOC);
const EVENTS = offsetsOf(IOMMU_VEVENTQ_ALLOC);
const ACCESS = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.CREATE_ACCESS);
const TEST_OP = offsetsOf(IOMMU_TEST_CMD).op;

/** Takes note of the descriptors that an answer hands out. */
export function noteNewDescriptors(table: DescriptorTable, call: Omit<IoctlCall, 'seq'>): void {
  if (!call.replied || call.ret < 0) return;
  if (call.kind === 'group' && call.cmd === CMD.VFIO_GROUP_GET_DEVICE_FD)
    table.opened(call.pid, call.ret, 'device');
  if (call.kind !== 'iommufd' || call.out === null) return;
  const view = new DataView(call.out.buffer, call.out.byteOffset, call.out.length);
  const note = (at: number, kind: DescriptorKind): void => {
    if (at + 4 <= view.byteLength) table.opened(call.pid, view.getInt32(at, true), kind);
  };
  if (call.cmd === CMD.IOMMU_FAULT_QUEUE_ALLOC) note(FAULT.out_fault_fd, 'fault');
  if (call.cmd === CMD.IOMMU_VEVENTQ_ALLOC) note(EVENTS.out_veventq_fd, 'veventq');
  if (call.cmd === CMD.IOMMU_TEST_CMD && call.out[TEST_OP] === IOMMU_TEST_OP.CREATE_ACCESS)
    note(ACCESS.out_access_fd, 'access');
}
