import {
  offsetsOf,
  RFC_ATTACH,
  RFC_BIND_DATA,
  RFC_CMD,
  RFC_DEVICE_INFO,
  RFC_DEVICE_INFO_FLAGS,
  RFC_EXTENSION,
  RFC_IOASID_ALLOC,
  RFC_IOASID_DMA_OP,
  RFC_IOASID_FLAGS,
  RFC_IOASID_TYPE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../uapi/index.ts';
import { ioasId, isRefused } from '../ioasid/index.ts';
import type { Reason } from '../reason.ts';
import { attachDevice, detachDevice } from './attach.ts';
import { devicesOn, isOn } from './attachments.ts';
import { bindDevice, cookieOf, deviceOf, devicesOf } from './binding.ts';
import { DONE, hexText, type ProposalAnswer, type ProposalCall } from './call.ts';
import { iommuFileAt } from './files.ts';
import { answer } from './handlers.ts';
import { mapRange, unmapRange } from './maps.ts';
import { COOKIE_UNKNOWN, IOAS_UNKNOWN, NOT_IOMMU_FD, NOT_ON_IOAS } from './reasons.ts';
import {
  RFC_ALLOC,
  RFC_ATTACHED,
  RFC_CONTAINER,
  RFC_FREE_UNKNOWN,
  RFC_GROUP_ELSEWHERE,
  RFC_NO_SNOOP,
  RFC_OTHER_FD,
  RFC_STRUCT,
  RFC_STRUCT_FAULT,
  RFC_UNKNOWN_COMMAND,
  RFC_WIDTH,
} from './reasons-2021-09.ts';
import { createIoas, freeIoas, requireLive } from './spaces.ts';
import type { Ioas, ProposalFile } from './state.ts';
import { iovaRangeCapability } from './structs-2021-09.ts';

/** The code of September 2021, in its order of checks: RFC of 2021-09-19, 02/20 to 18/20. */

const INFO = offsetsOf(RFC_DEVICE_INFO);
const ALLOC = offsetsOf(RFC_IOASID_ALLOC);
const BIND = offsetsOf(RFC_BIND_DATA);
const ATTACH = offsetsOf(RFC_ATTACH);
const DMA = offsetsOf(RFC_IOASID_DMA_OP);
const MAP = offsetsOf(VFIO_IOMMU_MAP_DMA);
const UNMAP = offsetsOf(VFIO_IOMMU_UNMAP_DMA);

/** An ioctl: the struct as recorded, and where the answer's bytes go. */
export interface StructCall extends ProposalCall {
  /** Null when the pointer was bad or the command takes none. */
  readonly struct: DataView | null;
  /** The plain value of a command that takes no pointer. */
  readonly value: bigint;
  readonly write: (at: number, bytes: Uint8Array) => void;
}

type StructHandler = (call: StructCall, struct: DataView) => ProposalAnswer;

/** Reads a struct of `bytes` with argsz in front: a smaller one is refused. */
function sized(bytes: number, run: StructHandler): StructHandler {
  return (call, struct) => {
    if (struct.byteLength < 4) return RFC_STRUCT_FAULT;
    if (struct.getUint32(0, true) < bytes) return RFC_STRUCT;
    return struct.byteLength < bytes ? RFC_STRUCT_FAULT : run(call, struct);
  };
}

function u32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function u64Bytes(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

const deviceInfo = sized(RFC_DEVICE_INFO.sizeBytes, (call, struct) => {
  const cookie = hexText(struct.getBigUint64(INFO.dev_cookie, true));
  const found = devicesOf(call.state, call.file!).find((file) => cookieOf(file, call.file!) === cookie);
  if (found === undefined) return COOKIE_UNKNOWN;
  const device = deviceOf(call, found.device);
  const { ENFORCE_SNOOP, PGSIZES, ADDR_WIDTH, CAPS } = RFC_DEVICE_INFO_FLAGS;
  const chain = iovaRangeCapability(device);
  const needed = RFC_DEVICE_INFO.sizeBytes + chain.length;
  const fits = struct.getUint32(0, true) >= needed;
  call.write(INFO.flags, u32Bytes((device.enforcesSnoop ? ENFORCE_SNOOP : 0) | PGSIZES | ADDR_WIDTH | CAPS));
  call.write(INFO.pgsize_bitmap, u64Bytes(BigInt(device.pageSizes)));
  call.write(INFO.addr_width, u32Bytes(device.addressWidth));
  call.write(INFO.cap_offset, u32Bytes(fits ? RFC_DEVICE_INFO.sizeBytes : 0));
  if (fits) call.write(RFC_DEVICE_INFO.sizeBytes, chain);
  else call.write(INFO.argsz, u32Bytes(needed));
  return DONE;
});

const alloc = sized(RFC_IOASID_ALLOC.sizeBytes, (call, struct) => {
  const addressWidth = struct.getUint32(ALLOC.addr_width, true);
  const hasFlags = struct.getUint32(ALLOC.flags, true) === RFC_IOASID_FLAGS.ENFORCE_SNOOP;
  const hasType = struct.getUint32(ALLOC.type, true) === RFC_IOASID_TYPE.KERNEL_TYPE1V2;
  if (addressWidth === 0 || !hasFlags || !hasType) return RFC_ALLOC;
  const fields = { parent: null, kind: 'kernel', table: null, enforcesSnoop: true, addressWidth } as const;
  return { ret: createIoas(call, call.file!, fields).id };
});

const free: StructHandler = (call, struct) => {
  if (struct.byteLength < 4) return RFC_STRUCT_FAULT;
  const id = struct.getInt32(0, true);
  if (id < 0) return RFC_STRUCT;
  const ioas = call.file!.spaces[id];
  // The posted code tests the missing one for the wrong thing, and forgets what it answers on success.
  return ioas === undefined ? RFC_FREE_UNKNOWN : answer(freeIoas(call, call.file!, ioas));
};

/** MAP and UNMAP: the struct of type1 stands behind, with its own argsz. */
function dmaOp(payloadBytes: number, run: (call: StructCall, ioas: Ioas, data: DataView) => ProposalAnswer) {
  return sized(RFC_IOASID_DMA_OP.sizeBytes, (call, struct) => {
    const id = struct.getInt32(DMA.ioasid, true);
    if (struct.getUint32(DMA.flags, true) !== 0 || id < 0) return RFC_STRUCT;
    const ioas = call.file!.spaces[id];
    if (ioas === undefined) return IOAS_UNKNOWN;
    const live = requireLive(ioas);
    if (live !== null) return live;
    if (struct.byteLength < RFC_IOASID_DMA_OP.sizeBytes + payloadBytes) return RFC_STRUCT_FAULT;
    const data = new DataView(struct.buffer, struct.byteOffset + RFC_IOASID_DMA_OP.sizeBytes, payloadBytes);
    return data.getUint32(0, true) < payloadBytes ? RFC_STRUCT : run(call, ioas, data);
  });
}

const map = dmaOp(VFIO_IOMMU_MAP_DMA.minBytes, (call, ioas, data) => {
  const request = {
    iova: data.getBigUint64(MAP.iova, true),
    target: data.getBigUint64(MAP.vaddr, true),
    size: data.getBigUint64(MAP.size, true),
    flags: data.getUint32(MAP.flags, true),
  };
  return answer(mapRange(call, call.file!, ioas, request));
});

const unmap = dmaOp(VFIO_IOMMU_UNMAP_DMA.minBytes, (call, ioas, data) => {
  const [iova, size] = [data.getBigUint64(UNMAP.iova, true), data.getBigUint64(UNMAP.size, true)];
  const done = unmapRange(call, ioas, iova, size, data.getUint32(UNMAP.flags, true));
  if (isRefused(done)) return done;
  call.write(RFC_IOASID_DMA_OP.sizeBytes + UNMAP.size, u64Bytes(done.bytes));
  return DONE;
});

/** Commands of a device take none that was opened through a group. */
function onDevice(bytes: number, run: StructHandler): StructHandler {
  const rest = sized(bytes, run);
  return (call, struct) => (call.file!.isLegacy ? RFC_CONTAINER : rest(call, struct));
}

const bind = onDevice(RFC_BIND_DATA.sizeBytes, (call, struct) => {
  const fd = struct.getInt32(BIND.iommu_fd, true);
  if (struct.getUint32(BIND.flags, true) !== 0 || fd < 0) return RFC_STRUCT;
  const cookie = hexText(struct.getBigUint64(BIND.dev_cookie, true));
  const iommu = iommuFileAt(call.state, call.pid, fd);
  // That the device is bound is looked at before the descriptor.
  if (iommu === null && call.file!.bindings.length === 0) return NOT_IOMMU_FD;
  return answer(bindDevice(call, call.file!, iommu ?? call.file!, cookie));
});

interface AttachArguments {
  readonly iommu: ProposalFile;
  readonly id: number;
}

/** What ATTACH and DETACH check first. */
function attachArguments(call: StructCall, struct: DataView): AttachArguments | Reason {
  const [fd, id] = [struct.getInt32(ATTACH.iommu_fd, true), struct.getInt32(ATTACH.ioasid, true)];
  if (struct.getUint32(ATTACH.flags, true) !== 0 || fd < 0 || id < 0) return RFC_STRUCT;
  const iommu = iommuFileAt(call.state, call.pid, fd);
  const isBound = call.file!.bindings.some((binding) => binding.iommu === iommu?.id);
  return iommu === null || !isBound ? RFC_OTHER_FD : { iommu, id };
}

const attach = onDevice(RFC_ATTACH.sizeBytes, (call, struct) => {
  const found = attachArguments(call, struct);
  if (isRefused(found)) return found;
  const { iommu, id } = found;
  const device = deviceOf(call, call.file!.device);
  const attached = Object.values(iommu.spaces).filter((space) =>
    devicesOn(space).some((other) => deviceOf(call, other).group === device.group),
  );
  if (attached.some((space) => isOn(space, device.name))) return RFC_ATTACHED;
  const ioas = iommu.spaces[id];
  if (ioas === undefined) return IOAS_UNKNOWN;
  if (!device.enforcesSnoop) return RFC_NO_SNOOP;
  if (device.addressWidth < ioas.addressWidth) return RFC_WIDTH;
  if (attached.some((other) => other !== ioas)) return RFC_GROUP_ELSEWHERE;
  return answer(attachDevice(call, call.file!, iommu, ioas, null));
});

const detach = onDevice(RFC_ATTACH.sizeBytes, (call, struct) => {
  const found = attachArguments(call, struct);
  if (isRefused(found)) return found;
  const ioas = found.iommu.spaces[ioasId(found.id)];
  return ioas === undefined ? NOT_ON_IOAS : answer(detachDevice(call, call.file!, found.iommu, ioas, null));
});

const IOMMU_COMMANDS: ReadonlyMap<number, StructHandler> = new Map([
  [RFC_CMD.IOMMU_DEVICE_GET_INFO, deviceInfo],
  [RFC_CMD.IOMMU_IOASID_ALLOC, alloc],
  [RFC_CMD.IOMMU_IOASID_FREE, free],
  [RFC_CMD.IOMMU_MAP_DMA, map],
  [RFC_CMD.IOMMU_UNMAP_DMA, unmap],
]);

const DEVICE_COMMANDS: ReadonlyMap<number, StructHandler> = new Map([
  [RFC_CMD.VFIO_DEVICE_BIND_IOMMUFD, bind],
  [RFC_CMD.VFIO_DEVICE_ATTACH_IOASID, attach],
  [RFC_CMD.VFIO_DEVICE_DETACH_IOASID, detach],
]);

/** Runs one ioctl; null for a command of VFIO on a device, which is no part of this generation. */
export function septemberIoctl(call: StructCall, cmd: number): ProposalAnswer | null {
  const isDevice = call.file!.kind === 'device';
  if (!isDevice && cmd === RFC_CMD.IOMMU_CHECK_EXTENSION)
    return { ret: call.value === BigInt(RFC_EXTENSION.MAP_TYPE1V2) ? 1 : 0 };
  const handler = (isDevice ? DEVICE_COMMANDS : IOMMU_COMMANDS).get(cmd);
  if (handler === undefined) return isDevice ? null : RFC_UNKNOWN_COMMAND;
  return call.struct === null ? RFC_STRUCT_FAULT : handler(call, call.struct);
}
