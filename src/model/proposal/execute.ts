import type { ApiCall, Call, CloseCall, OpenCall } from '../../trace/index.ts';
import { isRefused, type Notification } from '../ioasid/index.ts';
import type { Kernel, Reply } from '../kernel.ts';
import { detachAll } from './attach.ts';
import { unbindDevice } from './binding.ts';
import type { ProposalAnswer, ProposalCall, ProposalHandler } from './call.ts';
import { MAY_DEVICE_CALLS, MAY_IOMMU_CALLS, MAY_KVM_CALLS } from './calls-2021-05.ts';
import { deviceFacts } from './facts.ts';
import { faultOverflow, pageRequest, stopMarker } from './faults.ts';
import { dropDescriptor, fileAt, forkFiles, openFile } from './files.ts';
import type { Generation } from './generation.ts';
import { NO_SUCH_CALL } from './reasons.ts';
import { createProposalState, type ProposalFile, type ProposalState } from './state.ts';

/** Execution of a trace of one of the generations of 2020 and 2021. */

type CallTable = Readonly<Record<string, ProposalHandler>>;

/** Events of the hardware: the same in every generation. */
const HARDWARE: CallTable = {
  iommu_page_request: pageRequest,
  iommu_fault_overflow: faultOverflow,
  iommu_stop_marker: stopMarker,
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
  'proposal-2021-07': {},
  'rfc-2021-09': {},
  'ioasid-v4': {},
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
  delete reply.out;
  if (state.descriptors[record.pid] === undefined && record.op !== 'open')
    forkFiles(state, kernel.lastPid, record.pid);
  kernel.lastPid = record.pid;
  switch (record.op) {
    case 'open':
      return open(kernel, state, record);
    case 'close':
      return close(kernel, state, record);
    case 'call':
      return executeCall(kernel, state, record);
    case 'fork':
      forkFiles(state, record.pid, record.child);
      return reply;
    case 'ioctl':
    case 'read':
    case 'write':
    case 'poll':
      reply.modelled = false;
      return reply;
    default:
      // What the process does to itself is no part of these generations.
      return reply;
  }
}

const KINDS: Readonly<Record<string, ProposalFile['kind']>> = {
  iommufd: 'iommu',
  device: 'device',
  kvm: 'kvm',
};

/** The number that open returned is an input, as everywhere. */
function open(kernel: Kernel, state: ProposalState, record: OpenCall): Reply {
  const { reply } = kernel;
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
  openFile(state, record.pid, fd, kind, kind === 'device' ? device!.name : '');
  return reply;
}

/** Closing a device detaches and unbinds it; closing a descriptor of the IOMMU waits for its devices. */
function close(kernel: Kernel, state: ProposalState, record: CloseCall): Reply {
  const gone = dropDescriptor(state, record.pid, record.fd);
  if (gone === null) return kernel.reply;
  const call = callOf(kernel, state, record, gone, {});
  if (gone.kind === 'device') {
    for (const { iommu } of [...gone.bindings]) {
      const file = state.files[iommu]!;
      detachAll(call, gone, file);
      unbindDevice(call, gone, file);
      forget(state, file);
    }
  }
  forget(state, gone);
  return kernel.reply;
}

/** A file goes with its last descriptor, and one of the IOMMU once no device is bound to it either. */
function forget(state: ProposalState, file: ProposalFile): void {
  const isBound = Object.values(state.files).some(({ bindings }) =>
    bindings.some(({ iommu }) => iommu === file.id),
  );
  if (file.refs === 0 && !isBound) delete state.files[file.id];
}

function callOf(
  kernel: Kernel,
  state: ProposalState,
  { seq, pid }: Call,
  file: ProposalFile | null,
  args: ApiCall['args'],
): ProposalCall {
  const told: Notification[] = [];
  return { kernel, state, generation: kernel.profile.name as Generation, pid, seq, file, args, told };
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

function settle(reply: Reply, answer: ProposalAnswer, told: readonly Notification[]): Reply {
  if (isRefused(answer)) {
    reply.ret = -1;
    reply.errno = answer.errno;
    reply.reason = answer;
    return reply;
  }
  reply.ret = answer.ret;
  const notified = told.map(({ event, subscriber, id, spid }) => ({ event, subscriber, id, spid }));
  reply.out = { ...answer.out, ...(notified.length === 0 ? {} : { notified }) };
  return reply;
}
