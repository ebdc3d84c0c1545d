import {
  IOASID_ALLOC_REQUEST,
  IOASID_API_VERSION,
  IOASID_BITS,
  IOASID_CMD,
  IOASID_INFO,
  offsetsOf,
} from '../../uapi/index.ts';
import {
  allocIoasid,
  allocSet,
  freeAllInSet,
  freeIoasid,
  freeSet,
  isRefused,
  QUOTA_ABOVE_CAPACITY,
  SYSTEM,
} from '../ioasid/index.ts';
import type { Refusal } from '../reason.ts';
import { coreOf, DONE, type ProposalAnswer, type ProposalCall } from './call.ts';
import type { StructCall } from './calls-2021-09.ts';
import { tellRefused } from './pasid-changes.ts';
import {
  DEV_ALLOC,
  DEV_COMMAND,
  DEV_INHERITED,
  DEV_OPEN_TWICE,
  DEV_STRUCT,
  DEV_STRUCT_FAULT,
} from './reasons-v4.ts';
import type { ProposalFile, ProposalState } from './state.ts';

/** `/dev/ioasid` of the IOASID series V4 (18/18): PASIDs for one process, by number. */

const SET_TYPE_MM = 2;
const REQUEST = offsetsOf(IOASID_ALLOC_REQUEST);
const INFO = offsetsOf(IOASID_INFO);

/** Whether a process may open the device: once, and with capacity left for its set. */
export function refuseDevIoasid(state: ProposalState, pid: number): Refusal {
  const isOpen = Object.values(state.files).some(({ kind, owner }) => kind === 'iommu' && owner === pid);
  if (isOpen) return DEV_OPEN_TWICE;
  return state.core.available === 0 ? QUOTA_ABOVE_CAPACITY : null;
}

/** Opening makes the set of the process, with all capacity that is left. */
export function makeSet({ core }: ProposalState, file: ProposalFile): Refusal {
  const set = allocSet(core, file.owner, 0, SET_TYPE_MM);
  if (isRefused(set)) return set;
  file.set = set;
  return null;
}

/** The last close frees all numbers, and the set with them. */
export function dropSet(call: ProposalCall, file: ProposalFile): void {
  const core = coreOf(call);
  if (core.core.sets[file.set] === undefined) return;
  if (core.core.sets[file.set]!.count === 0) freeSet(core.core, file.set);
  else freeAllInSet(core, file.set);
}

/** Runs one ioctl. */
export function devIoasidIoctl(call: StructCall, cmd: number): ProposalAnswer {
  if (call.file!.owner !== call.pid) return DEV_INHERITED;
  switch (cmd) {
    case IOASID_CMD.IOASID_GET_API_VERSION:
      return { ret: IOASID_API_VERSION };
    case IOASID_CMD.IOASID_GET_INFO:
      return getInfo(call);
    case IOASID_CMD.IOASID_REQUEST_ALLOC:
      return requestAlloc(call);
    case IOASID_CMD.IOASID_REQUEST_FREE:
      return requestFree(call);
    default:
      return DEV_COMMAND;
  }
}

function getInfo({ struct, write }: StructCall): ProposalAnswer {
  if (struct === null || struct.byteLength < IOASID_INFO.sizeBytes) return DEV_STRUCT_FAULT;
  if (struct.getUint32(0, true) < IOASID_INFO.sizeBytes || struct.getUint32(INFO.flags, true) !== 0)
    return DEV_STRUCT;
  write(INFO.ioasid_bits, Uint8Array.of(IOASID_BITS, 0, 0, 0));
  return DONE;
}

/** Whatever goes wrong is EINVAL. */
function requestAlloc(call: StructCall): ProposalAnswer {
  const { struct, file } = call;
  if (struct === null || struct.byteLength < IOASID_ALLOC_REQUEST.sizeBytes) return DEV_STRUCT_FAULT;
  if (struct.getUint32(0, true) < IOASID_ALLOC_REQUEST.sizeBytes) return DEV_STRUCT;
  const [min, max] = [struct.getUint32(REQUEST.min, true), struct.getUint32(REQUEST.max, true)];
  const isRange = min <= max && max < 2 ** IOASID_BITS;
  if (struct.getUint32(REQUEST.flags, true) !== 0 || !isRange) return DEV_STRUCT;
  // A set dies with its last number: the device's next request makes it anew.
  const refusal = call.state.core.sets[file!.set] === undefined ? makeSet(call.state, file!) : null;
  const id = refusal ?? allocIoasid(coreOf(call), file!.set, min, max);
  if (!isRefused(id)) return { ret: id };
  const pasid = min === max ? min : 0;
  tellRefused(call, { scope: SYSTEM, pasid, context: file!.id, set: file!.set }, id);
  return DEV_ALLOC;
}

/** A number of somebody else is ignored, and that is a success. */
function requestFree(call: StructCall): ProposalAnswer {
  const { struct, file } = call;
  if (struct === null || struct.byteLength < 4) return DEV_STRUCT_FAULT;
  const id = struct.getInt32(0, true);
  if (id < 0) return DEV_STRUCT;
  freeIoasid(coreOf(call), file!.set, id);
  return DONE;
}
