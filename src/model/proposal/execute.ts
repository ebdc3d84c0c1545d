import type {
  ApiCall,
  Call,
  CloseCall,
  IoctlCall,
  OpenCall,
  ReadCall,
  WriteCall,
} from '../../trace/index.ts';
import { forkProcess } from '../descriptors.ts';
import { isRefused, type Notification } from '../ioasid/index.ts';
import type { Kernel, Reply } from '../kernel.ts';
import { noteMemory } from '../memory-records.ts';
import type { Refusal } from '../reason.ts';
import { deviceOf } from './binding.ts';
import {
  callOf,
  numberArg,
  type ProposalAnswer,
  type ProposalCall,
  type ProposalHandler,
  textArg,
} from './call.ts';
import { MAY_DEVICE_CALLS, MAY_IOMMU_CALLS, MAY_KVM_CALLS } from './calls-2021-05.ts';
import { JULY_DEVICE_CALLS, JULY_IOMMU_CALLS, JULY_KVM_CALLS } from './calls-2021-07.ts';
import { type StructCall, septemberIoctl } from './calls-2021-09.ts';
import { CORE_CALLS } from './calls-v4.ts';
import { closeFile } from './closing.ts';
import { devIoasidIoctl, makeSet, refuseDevIoasid } from './dev-ioasid.ts';
import { deviceFacts } from './facts.ts';
import { addToQueue, faultOverflow, removeFromQueue, stopMarker } from './fault-queues.ts';
import { pageRequest } from './faults.ts';
import { dropDescriptor, fileAt, forkFiles, openFile } from './files.ts';
import type { Generation } from './generation.ts';
import { fileOf } from './pasid-changes.ts';
import { exitProposalProcess, meetProcess } from './processes.ts';
import { ARGUMENT_BAD, NO_SUCH_CALL } from './reasons.ts';
import { RFC_DEVICE_ABSENT, RFC_DEVICE_OPEN } from './reasons-2021-09.ts';
import { ACCESS_BLOCKED } from './reasons-memory.ts';
import { allocReviewed } from './review-2021-09.ts';
import { createProposalState, type ProposalFile, type ProposalState } from './state.ts';
import { vfioSvaIoctl } from './vfio-sva.ts';

/** Execution of a trace of one of the generations of 2020 and 2021. */

type CallTable = Readonly<Record<string, ProposalHandler>>;

/** Events of the hardware, and what the IOMMU driver does about them: the same in every generation. */
const HARDWARE: CallTable = {
  iommu_page_request: pageRequest,
  iommu_fault_overflow: faultOverflow,
  iommu_stop_marker: stopMarker,
  iopf_queue_add_device: addToQueue,
  iopf_queue_remove_device: removeFromQueue,
};

const NONE: CallTable = {};

/** Calls by generation and kind of descriptor; `none` are functions of the kernel. */
const CALLS: Readonly<Record<Generation, Readonly<Record<string, CallTable>>>> = {
  'proposal-2021-05': {
    iommu: MAY_IOMMU_CALLS,
    device: MAY_DEVICE_CALLS,
    kvm: MAY_KVM_CALLS,
    none: HARDWARE,
  },
  'proposal-2021-07': {
    iommu: JULY_IOMMU_CALLS,
    device: JULY_DEVICE_CALLS,
    kvm: JULY_KVM_CALLS,
    none: HARDWARE,
  },
  'rfc-2021-09': {
    iommu: { IOMMU_IOASID_ALLOC: allocReviewed },
    none: { VFIO_GROUP_GET_DEVICE_FD: openThroughGroup },
  },
  'ioasid-v4': { none: { ...HARDWARE, ...CORE_CALLS } },
};

/** State of the generations, made at the first call of a trace. */
export function proposalState(kernel: Kernel): ProposalState {
  kernel.state.proposal ??= createProposalState();
  return kernel.state.proposal;
}

/** Applies one call of a generation; the reply is reset. */
export function executeProposal(kernel: Kernel, record: Call): Reply {
  const { reply } = kernel;
  const state = proposalState(kernel);
  reply.out = undefined;
  const process = meetProcess(kernel, state, record);
  kernel.lastPid = record.pid;
  switch (record.op) {
    case 'open':
      return open(kernel, state, record);
    case 'close':
      return close(kernel, state, record);
    case 'call':
      return executeCall(kernel, state, record);
    case 'fork':
      if (kernel.state.processes[record.child] === undefined) {
        forkProcess(kernel, record.child, record.pid);
        forkFiles(state, record.pid, record.child);
      }
      return reply;
    case 'waitpid':
      exitProposalProcess(kernel, record.child, record.seq);
      return reply;
    case 'note':
    case 'cap_set_proc':
    case 'mmap':
    case 'munmap':
      noteMemory(kernel, process, record);
      return reply;
    case 'ioctl':
      return ioctl(kernel, state, record);
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return access(state, record, reply);
    case 'poll':
      reply.modelled = false;
      return reply;
    default:
      // What else the process does to itself is no part of these generations.
      return reply;
  }
}

const KINDS: Readonly<Record<string, ProposalFile['kind']>> = {
  iommufd: 'iommu',
  device: 'device',
  kvm: 'kvm',
  container: 'container',
  group: 'group',
};

/** The number that open returned is an input, as everywhere. */
function open(kernel: Kernel, state: ProposalState, record: OpenCall): Reply {
  const { reply } = kernel;
  const refusal = refuseOpen(kernel, state, record);
  if (refusal !== null) return settle(reply, refusal, []);
  reply.ret = record.ret;
  reply.errno = record.errno;
  if (record.replied && record.ret < 0) return reply;
  const fd = record.replied ? record.ret : record.fd;
  reply.ret = fd;
  const device = deviceFacts(kernel.machine).find(({ path }) => path === record.path);
  const kind = KINDS[record.kind] ?? 'other';
  if (kind === 'device' && device === undefined) {
    reply.modelled = false;
    return reply;
  }
  const file = openFile(state, record.pid, fd, kind, kind === 'device' ? device!.name : '');
  if (kernel.profile.name === 'ioasid-v4' && kind === 'iommu') makeSet(state, file);
  if (kind === 'group') file.groups = [Number(/\d+$/.exec(record.path)?.[0] ?? -1)];
  return reply;
}

/** Opens that a generation refuses by itself. */
function refuseOpen(kernel: Kernel, state: ProposalState, record: OpenCall): Refusal {
  const { name } = kernel.profile;
  if (name === 'ioasid-v4' && record.kind === 'iommufd') return refuseDevIoasid(state, record.pid);
  return name === 'rfc-2021-09' && record.kind === 'device' ? refuseDevice(kernel, state, record) : null;
}

/** `/dev/vfio/devices/X` of September 2021: opened once, by whichever interface. */
function refuseDevice(kernel: Kernel, state: ProposalState, { path }: OpenCall): Refusal {
  const device = deviceFacts(kernel.machine).find((other) => other.path === path);
  if (device === undefined || !device.enforcesSnoop) return RFC_DEVICE_ABSENT;
  const isOpen = Object.values(state.files).some(
    (file) =>
      file.kind === 'device' &&
      (file.device === device.name ||
        (file.isLegacy && deviceOf({ kernel }, file.device).group === device.group)),
  );
  return isOpen ? RFC_DEVICE_OPEN : null;
}

/** The regions of a device: blocked until it is bound, and no part of these generations afterwards. */
function access(state: ProposalState, record: ReadCall | WriteCall, reply: Reply): Reply {
  const file = fileAt(state, record.pid, record.fd);
  if (file?.kind === 'device' && !file.isLegacy && file.bindings.length === 0)
    return settle(reply, ACCESS_BLOCKED, []);
  reply.modelled = false;
  return reply;
}

/** Generations of which the structs are known. */
const HAS_STRUCTS: ReadonlySet<string> = new Set(['rfc-2021-09', 'ioasid-v4']);

function runIoctl(call: StructCall, cmd: number): ProposalAnswer | null {
  if (call.generation === 'rfc-2021-09') return septemberIoctl(call, cmd);
  if (call.file!.kind === 'iommu') return devIoasidIoctl(call, cmd);
  return vfioSvaIoctl(call, cmd);
}

function ioctl(kernel: Kernel, state: ProposalState, record: IoctlCall): Reply {
  const { reply, call: user } = kernel;
  const file = fileAt(state, record.pid, record.fd);
  const { arg } = record;
  user.arg = arg ?? new Uint8Array(0);
  user.respondFrom = 0;
  user.respondEnd = 0;
  user.structWrites.length = 0;
  user.writes.length = 0;
  user.unknown.length = 0;
  user.retIsDescriptor = false;
  const struct = arg === null ? null : new DataView(arg.buffer, arg.byteOffset, arg.byteLength);
  const call =
    file === null || !HAS_STRUCTS.has(kernel.profile.name) ? null : callOf(kernel, state, record, file, {});
  const write = (at: number, bytes: Uint8Array): void => void user.structWrites.push({ at, bytes });
  const answer = call === null ? null : runIoctl({ ...call, struct, value: record.argp, write }, record.cmd);
  if (answer === null) {
    reply.modelled = false;
    return reply;
  }
  return settle(reply, answer, []);
}

function close(kernel: Kernel, state: ProposalState, { pid, fd, seq }: CloseCall): Reply {
  const gone = dropDescriptor(state, pid, fd);
  if (gone !== null) closeFile(callOf(kernel, state, { seq, pid }, gone, {}), gone);
  return kernel.reply;
}

function executeCall(kernel: Kernel, state: ProposalState, record: ApiCall): Reply {
  const { reply } = kernel;
  const generation = kernel.profile.name as Generation;
  const file = record.fd < 0 ? null : fileAt(state, record.pid, record.fd);
  if (record.generation !== generation || (record.fd >= 0 && file === null)) {
    reply.modelled = false;
    return reply;
  }
  const handler = (CALLS[generation][file?.kind ?? 'none'] ?? NONE)[record.name];
  const call = callOf(kernel, state, record, file, record.args);
  return settle(reply, handler === undefined ? NO_SUCH_CALL : handler(call), call.told);
}

const NO_RESULTS: NonNullable<Reply['out']> = {};

function settle(reply: Reply, answer: ProposalAnswer, told: readonly Notification[]): Reply {
  if (isRefused(answer)) {
    reply.ret = -1;
    reply.errno = answer.errno;
    reply.reason = answer;
    return reply;
  }
  reply.ret = answer.ret;
  if (told.length === 0) {
    reply.out = answer.out ?? NO_RESULTS;
    return reply;
  }
  const notified = told.map(({ event, subscriber, id, spid }) => ({ event, subscriber, id, spid }));
  reply.out = { ...answer.out, notified };
  return reply;
}

/** A device of the old container: `fd` is the number that the kernel gave it, an input as with open. */
function openThroughGroup(call: ProposalCall): ProposalAnswer {
  const [name, fd] = [textArg(call, 'device'), numberArg(call, 'fd')];
  const device = deviceFacts(call.kernel.machine).find((other) => other.name === name);
  if (device === undefined || fd === null) return ARGUMENT_BAD;
  if (fileOf(call.state, device.name) !== 0) return RFC_DEVICE_OPEN;
  openFile(call.state, call.pid, fd, 'device', device.name, true);
  return { ret: fd };
}
