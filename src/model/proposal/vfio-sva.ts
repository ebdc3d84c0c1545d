import {
  CMD,
  GPASID_BIND_2021,
  GPASID_BIND_VENDOR_AT,
  IOMMU_GPASID_BIND_DATA_2021,
  offsetsOf,
  SVA_2020_CMD,
  SVA_2020_NESTING_OP,
  SVA_2020_PASID_FLAGS,
  VFIO_IOMMU_TYPE1_NESTING_OP,
  VFIO_IOMMU_TYPE1_PASID_REQUEST,
} from '../../uapi/index.ts';
import {
  allocIoasid,
  allocSet,
  attachData,
  attachSpid,
  detachData,
  detachSpid,
  findIoasid,
  findMmSet,
  flushNumber,
  freeAllInSet,
  freeIoasid,
  freeSet,
  getIfOwned,
  guestPasid,
  isRefused,
  numbersOfSet,
  PASID_COUNT,
  putIoasid,
  SYSTEM,
} from '../ioasid/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import { coreOf, DONE, type ProposalAnswer, type ProposalCall } from './call.ts';
import type { StructCall } from './calls-2021-09.ts';
import { groupMembers, policyOf } from './facts.ts';
import { fileAt } from './files.ts';
import { tellRefused } from './pasid-changes.ts';
import {
  SVA_BIND_DATA,
  SVA_BIND_PASID,
  SVA_BOUND,
  SVA_NESTING_OP,
  SVA_NO_GROUP,
  SVA_NO_NESTING,
  SVA_NO_PASIDS,
  SVA_NONE,
  SVA_REQUEST,
  SVA_STRUCT_FAULT,
} from './reasons-vfio-sva.ts';
import type { ProposalFile } from './state.ts';

/**
 * PASIDs of VFIO containers, which /dev/ioasid was to replace: VFIO_IOMMU_PASID_REQUEST and
 * VFIO_IOMMU_NESTING_OP. Sources: "vfio: expose virtual Shared Virtual Addressing to VMs", V7 of 2020-09-10,
 * 07/16 and 10/16; what a bind checks is iommu.c and intel/svm.c of Linux 5.14.
 */

const REQUEST = offsetsOf(VFIO_IOMMU_TYPE1_PASID_REQUEST);
const BIND = offsetsOf(IOMMU_GPASID_BIND_DATA_2021);
/** VFIO_TYPE1_NESTING_IOMMU. */
const NESTING_IOMMU = 6n;
/** `VFIO_DEFAULT_PASID_QUOTA`: numbers that a process may have. */
const QUOTA = 1000;
const SET_TYPE_MM = 2;
/** The posted test lets one number more through than 31 bits hold. */
const RANGE_LAST = 0x8000_0000;
const OP_MASK = 0xffff;
const BIND_AT = VFIO_IOMMU_TYPE1_NESTING_OP.sizeBytes;

/** Runs one ioctl of a container or group; null for those that this model of them does not know. */
export function vfioSvaIoctl(call: StructCall, cmd: number): ProposalAnswer | null {
  const file = call.file!;
  if (file.kind === 'group') return cmd === CMD.VFIO_GROUP_SET_CONTAINER ? setContainer(call, file) : null;
  if (file.kind !== 'container') return null;
  switch (cmd) {
    case CMD.VFIO_SET_IOMMU:
      return setIommu(call, file);
    case SVA_2020_CMD.VFIO_IOMMU_PASID_REQUEST:
      return pasidRequest(call, file);
    case SVA_2020_CMD.VFIO_IOMMU_NESTING_OP:
      return nestingOp(call, file);
    default:
      return null;
  }
}

function setContainer({ state, pid, struct }: StructCall, { groups }: ProposalFile): ProposalAnswer | null {
  const container = struct === null ? null : fileAt(state, pid, struct.getInt32(0, true));
  if (container?.kind !== 'container') return null;
  container.groups.push(...groups);
  return DONE;
}

function setIommu({ value }: StructCall, container: ProposalFile): ProposalAnswer | null {
  if (value !== NESTING_IOMMU) return null;
  if (container.groups.length === 0) return SVA_NO_GROUP;
  container.nests = true;
  return DONE;
}

/** Whether the numbers of the container's IOMMU are those of the system: `iommu->vmm` is there. */
function hasPasids(call: ProposalCall, { nests }: ProposalFile): boolean {
  return nests && policyOf(call.kernel.machine).platform === 'vtd';
}

function pasidRequest(call: StructCall, container: ProposalFile): ProposalAnswer {
  const { struct } = call;
  if (struct === null || struct.byteLength < VFIO_IOMMU_TYPE1_PASID_REQUEST.sizeBytes)
    return SVA_STRUCT_FAULT;
  const { ALLOC, FREE } = SVA_2020_PASID_FLAGS;
  const flags = struct.getUint32(REQUEST.flags, true);
  const isSized = struct.getUint32(REQUEST.argsz, true) >= VFIO_IOMMU_TYPE1_PASID_REQUEST.sizeBytes;
  if (!isSized || (flags & ~(ALLOC | FREE)) !== 0) return SVA_REQUEST;
  const [min, max] = [struct.getUint32(REQUEST.min, true), struct.getUint32(REQUEST.max, true)];
  if (min > max || min > RANGE_LAST || max > RANGE_LAST) return SVA_REQUEST;
  if (!hasPasids(call, container)) return SVA_NO_PASIDS;
  if (flags === ALLOC) return allocate(call, container, min, max);
  if (flags !== FREE) return SVA_REQUEST;
  const core = coreOf(call, container.id);
  const set = findMmSet(core.core, call.pid);
  if (set === null) return DONE;
  for (const { id } of numbersOfSet(core, set)) if (id >= min && id <= max) freeIoasid(core, set, id);
  return DONE;
}

/** All containers of a process share its set, which dies with its last number and is made anew. */
function allocate(call: StructCall, { id: context }: ProposalFile, min: number, max: number): ProposalAnswer {
  const core = coreOf(call, context);
  const set = findMmSet(core.core, call.pid) ?? allocSet(core.core, call.pid, QUOTA, SET_TYPE_MM);
  const id = isRefused(set) ? set : allocIoasid(core, set, min, max);
  if (!isRefused(id)) return { ret: id };
  const asked = { scope: SYSTEM, pasid: min === max ? min : 0, context, set: isRefused(set) ? 0 : set };
  tellRefused(call, asked, id);
  return SVA_NONE;
}

function nestingOp(call: StructCall, container: ProposalFile): ProposalAnswer {
  const { struct } = call;
  if (struct === null || struct.byteLength < BIND_AT) return SVA_STRUCT_FAULT;
  const flags = struct.getUint32(4, true);
  const op = flags & OP_MASK;
  const { BIND_PGTBL, UNBIND_PGTBL } = SVA_2020_NESTING_OP;
  const isKnown = op === BIND_PGTBL || op === UNBIND_PGTBL;
  if (struct.getUint32(0, true) < BIND_AT || flags !== op || !isKnown) return SVA_NESTING_OP;
  if (!hasPasids(call, container)) return SVA_NO_NESTING;
  const data = new DataView(struct.buffer, struct.byteOffset + BIND_AT, struct.byteLength - BIND_AT);
  const refusal = checkBindData(data);
  if (op === UNBIND_PGTBL) {
    // Unbinding tells of no error.
    if (refusal === null) unbind(call, container, Number(data.getBigUint64(BIND.hpasid, true)));
    return DONE;
  }
  return refusal ?? bind(call, container, data) ?? DONE;
}

/** `iommu_sva_prepare_bind_data`, and what VT-d checks of its own part. */
function checkBindData(data: DataView): Refusal {
  if (data.byteLength < 4) return SVA_STRUCT_FAULT;
  const size = data.getUint32(BIND.argsz, true);
  if (size < GPASID_BIND_VENDOR_AT) return SVA_BIND_DATA;
  if (data.byteLength < Math.min(size, IOMMU_GPASID_BIND_DATA_2021.sizeBytes)) return SVA_STRUCT_FAULT;
  const { VERSION, INTEL_VTD, GPASID_VALID, VTD_FLAGS } = GPASID_BIND_2021;
  const isKnown =
    data.getUint32(BIND.version, true) === VERSION &&
    data.getUint32(BIND.format, true) === INTEL_VTD &&
    (data.getBigUint64(BIND.flags, true) & ~BigInt(GPASID_VALID)) === 0n &&
    data.getBigUint64(BIND.padding, true) === 0n;
  if (!isKnown || size < IOMMU_GPASID_BIND_DATA_2021.sizeBytes) return SVA_BIND_DATA;
  return (data.getBigUint64(BIND.vtd_flags, true) & ~BigInt(VTD_FLAGS)) === 0n ? null : SVA_BIND_DATA;
}

/** Fills the PASID entry of each device of the group; the number has to be one of the process. */
function bind(call: StructCall, container: ProposalFile, data: DataView): Reason | null {
  const hpasid = data.getBigUint64(BIND.hpasid, true);
  if (hpasid === 0n || hpasid >= BigInt(PASID_COUNT)) return SVA_BIND_PASID;
  const core = coreOf(call, container.id);
  const id = Number(hpasid);
  const owned = getIfOwned(core, id);
  if (isRefused(owned)) return owned;
  if (owned.data !== null) {
    putIoasid(core, owned.set, id);
    return SVA_BOUND;
  }
  attachData(core, id, { owner: 'vt-d', devices: devicesIn(call, container) });
  const isGuestNumbered =
    (data.getBigUint64(BIND.flags, true) & BigInt(GPASID_BIND_2021.GPASID_VALID)) !== 0n;
  if (!isGuestNumbered) return null;
  const refusal = attachSpid(core, id, guestPasid(Number(data.getBigUint64(BIND.gpasid, true))));
  if (refusal !== null) unbind(call, container, id);
  return refusal;
}

/** Clears the entries, flushes, and lets the number go. */
function unbind(call: StructCall | ProposalCall, container: ProposalFile, id: number): void {
  const core = coreOf(call, container.id);
  const ioasid = findIoasid(core.core, id, SYSTEM);
  const isOwn = ioasid !== undefined && core.core.sets[ioasid.set]?.token === container.owner;
  if (!isOwn || ioasid.data === null) return;
  detachSpid(core, id);
  detachData(core, id);
  flushNumber(core, id);
  putIoasid(core, ioasid.set, id);
}

function devicesIn({ kernel }: ProposalCall, { groups }: ProposalFile): string[] {
  return groups.flatMap((group) => groupMembers(kernel.machine, group).map(({ name }) => name));
}

/** The last container of a process unbinds its page tables and gives its numbers back. */
export function dropContainer(call: ProposalCall, container: ProposalFile): void {
  const isLast = !Object.values(call.state.files).some(
    (file) => file !== container && file.kind === 'container' && file.owner === container.owner && file.nests,
  );
  const core = coreOf(call, container.id);
  const set = container.nests && isLast ? findMmSet(core.core, container.owner) : null;
  if (set === null) return;
  for (const { id } of numbersOfSet(core, set)) unbind(call, container, id);
  const left = core.core.sets[set];
  if (left?.count === 0) freeSet(core.core, set);
  else if (left !== undefined) freeAllInSet(core, set);
}
