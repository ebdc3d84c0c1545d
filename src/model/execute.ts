import type { Call, CloseCall, IoctlCall, MemoryBuffer, OpenCall } from '../trace/index.ts';
import { pageOf, TOP_PAGE } from './address.ts';
import { closeFile } from './close-file.ts';
import {
  addFile,
  adoptDescriptor,
  duplicateDescriptor,
  endProcess,
  fileOf,
  noteTaken,
  openContext,
  processOf,
  takeDescriptor,
} from './descriptors.ts';
import { releaseContext } from './destroy.ts';
import { dispatch } from './dispatch.ts';
import type { Answer, Kernel, Reply } from './kernel.ts';
import { noteMemory } from './memory-records.ts';
import { openTarget } from './open-target.ts';
import { pollDescriptor } from './poll.ts';
import { executeProposal, exitProposalProcess } from './proposal/index.ts';
import { reason } from './reason.ts';
import type { OpenFile, Process } from './state.ts';
import { transfer } from './transfer.ts';
import { type1Ioctl } from './type1/container.ts';
import type { InputBuffer, UserCall } from './user-call.ts';
import { containerOf, openContainer } from './vfio/container.ts';
import { vfioDeviceIoctl } from './vfio/device-fd.ts';
import { groupIoctl, openGroup, refuseGroupOpen } from './vfio/group-fd.ts';
import { pciDevice } from './vfio/pci.ts';
import { vfioPciIoctl } from './vfio-pci/index.ts';
import { type DroppedWindows, dropWindows } from './window.ts';

const NO_IOCTL = reason(
  'descriptor-without-ioctl',
  'ENOTTY',
  'fs/ioctl.c vfs_ioctl',
  'the file behind the descriptor takes no ioctl',
);
const NO_BUFFERS: readonly InputBuffer[] = [];

/** Applies one recorded call to the kernel and answers it. Reads nothing of the recorded reply. */
export function execute(kernel: Kernel, call: Call): Reply {
  const { reply } = kernel;
  reply.modelled = true;
  reply.ret = 0;
  reply.errno = 0;
  reply.reason = null;
  if (kernel.call.rests.length > 0) kernel.call.rests.length = 0;
  kernel.call.tailUnrecorded = false;
  if (kernel.isProposal) return executeProposal(kernel, call);
  const process = processOf(kernel, call.pid, kernel.lastPid);
  kernel.lastPid = call.pid;
  switch (call.op) {
    case 'ioctl':
      return executeIoctl(kernel, process, call);
    case 'open':
      return open(kernel, process, call);
    case 'close':
      return close(kernel, process, call);
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return transfer(
        kernel,
        process,
        call,
        fileOf(kernel, process, call.fd) ?? unseenFile(kernel, process, call),
      );
    case 'mmap':
    case 'munmap':
    case 'note':
    case 'fork':
    case 'waitpid':
    case 'memfd_create':
    case 'ftruncate':
    case 'cap_set_proc':
      // What the process does to itself: inputs, whose results are taken as recorded.
      forgetWindows(kernel, process, call);
      noteMemory(kernel, process, call);
      if (call.op === 'waitpid') exitProcess(kernel, call.child);
      return reply;
    case 'poll':
      return pollDescriptor(kernel, process, call);
    case 'procstatus':
    case 'dma':
      return reply;
    default:
      reply.modelled = false;
      return reply;
  }
}

function executeIoctl(kernel: Kernel, process: Process, record: IoctlCall): Reply {
  const { reply } = kernel;
  const file = fileOf(kernel, process, record.fd) ?? unseenFile(kernel, process, record);
  const { call } = kernel;
  prepare(call, process, record);
  // A log that names the command and not the struct: nobody knows what was asked.
  if (file === undefined || record.partial?.missing.includes('arg')) {
    reply.modelled = false;
    return reply;
  }
  return settle(kernel, ioctlOf(kernel, process, file, record));
}

function ioctlOf(kernel: Kernel, process: Process, file: OpenFile, { cmd, arg }: IoctlCall): Answer {
  switch (file.kind) {
    case 'iommufd':
      return dispatch(kernel, kernel.state.contexts[file.context]!, cmd, arg !== null);
    case 'device': {
      const answer = vfioDeviceIoctl(kernel, process, file, cmd);
      return answer === 'not-vfio' ? vfioPciIoctl(kernel, pciDevice(kernel, process, file), cmd) : answer;
    }
    case 'group':
      return groupIoctl(kernel, process, file, cmd);
    case 'container':
      return type1Ioctl(kernel, containerOf(kernel, file.object), cmd);
    case 'access':
    case 'fault':
      return NO_IOCTL;
    default:
      return 'not-modelled';
  }
}

function prepare(call: UserCall, process: Process, record: IoctlCall): void {
  call.pid = process.pid;
  call.mm = process.mm;
  call.arg = record.arg ?? NO_BYTES;
  call.argument = record.argp;
  call.respondFrom = 0;
  call.respondEnd = 0;
  call.ret = 0;
  call.retIsDescriptor = false;
  if (call.writes.length > 0) call.writes.length = 0;
  if (call.structWrites.length > 0) call.structWrites.length = 0;
  if (call.unknown.length > 0) call.unknown.length = 0;
  call.buffers = record.mem.length === 0 ? NO_BUFFERS : record.mem.map(inputOf);
}

const NO_BYTES = new Uint8Array(0);

function inputOf({ addr, len, before, fault }: MemoryBuffer): InputBuffer {
  const bytes = before instanceof Uint8Array ? before : null;
  return { addr, len, before: bytes, skipped: before !== null && bytes === null, fault };
}

function settle(kernel: Kernel, answer: Answer): Reply {
  const { reply, call } = kernel;
  if (answer === null) {
    reply.ret = call.ret;
  } else if (answer === 'not-modelled') {
    reply.modelled = false;
  } else {
    reply.ret = -1;
    reply.errno = answer.errno;
    reply.reason = answer;
  }
  return reply;
}

/**
 * A descriptor that was open before the recording began, or that the kernel installed under another number.
 */
function unseenFile(
  kernel: Kernel,
  process: Process,
  { fd, kind }: { readonly fd: number; readonly kind: string },
): OpenFile | undefined {
  if (kind === 'access' || kind === 'fault' || kind === 'veventq' || kind === 'dmabuf')
    return adoptDescriptor(kernel, process, fd, kind);
  if (kind === 'device') return adoptDescriptor(kernel, process, fd, kind);
  if (kind === 'container' && !kernel.servesContainers) openContainer(kernel, process, fd);
  else if (kind === 'iommufd' || kind === 'container')
    openContext(kernel, process, fd, kind === 'container' ? 'mm' : 'user');
  return fileOf(kernel, process, fd);
}

/**
 * The number that open returned is an input: the kernel's whole table of descriptors is not recorded. So is a
 * failure, unless VFIO's own rules tell it.
 */
function open(kernel: Kernel, process: Process, record: OpenCall): Reply {
  const { reply } = kernel;
  const target = openTarget(kernel, record);
  const refusal = target.kind === 'group' ? refuseGroupOpen(kernel, target.index) : null;
  if (refusal !== null) return settle(kernel, refusal);
  reply.ret = record.ret;
  reply.errno = record.errno;
  if (record.replied && record.ret < 0) return reply;
  const fd = record.replied ? record.ret : record.fd;
  reply.ret = fd;
  noteTaken(process, fd);
  if (isDuplicate(record) && duplicateDescriptor(kernel, process, Number(record.extra?.['of']), fd))
    return reply;
  if (target.kind === 'context')
    openContext(kernel, process, fd, record.kind === 'container' ? 'mm' : 'user');
  else if (target.kind === 'container') openContainer(kernel, process, fd);
  else if (target.kind === 'group') openGroup(kernel, process, fd, target.index);
  else if (target.kind === 'device') addFile(kernel, process, fd, 'device', 0, target.index);
  else takeDescriptor(kernel, process, fd);
  return reply;
}

/** A recorder tells of dup as of an open: `via` says so, and `of` which number the new one is a copy of. */
function isDuplicate({ extra }: OpenCall): boolean {
  return extra?.['via'] === 'dup';
}

function close(kernel: Kernel, process: Process, record: CloseCall): Reply {
  const file = fileOf(kernel, process, record.fd) ?? unseenFile(kernel, process, record);
  if (file !== undefined) closeFile(kernel, file);
  delete process.descriptors[record.fd];
  return kernel.reply;
}

/** A process is gone after the call with that `seq`, as waitpid or lifetimes.ts tells. */
export function exitProcess(kernel: Kernel, pid: number, seq = 0): void {
  if (kernel.isProposal) {
    exitProposalProcess(kernel, pid, seq);
    return;
  }
  const mm = kernel.state.processes[pid]?.mm;
  if (mm !== undefined) drop(kernel, dropWindows(kernel, mm, 0, TOP_PAGE));
  endProcess(kernel, pid, closeFile);
}

/** mmap and munmap take away what was mapped at these addresses before. */
function forgetWindows(kernel: Kernel, process: Process, record: Call): void {
  if (record.op !== 'mmap' && record.op !== 'munmap') return;
  const first = record.op === 'mmap' ? record.mapped : record.addr;
  if (first === null || record.len === 0n) return;
  drop(kernel, dropWindows(kernel, process.mm, pageOf(first), pageOf(first + record.len - 1n)));
}

function drop(kernel: Kernel, { contexts, files }: DroppedWindows): void {
  for (const context of contexts) releaseContext(kernel, context);
  for (const file of files) closeFile(kernel, file);
}
