import type {
  Call,
  CloseCall,
  IoctlCall,
  MemoryBuffer,
  OpenCall,
  ReadCall,
  WriteCall,
} from '../trace/index.ts';
import { closeAccess } from './access.ts';
import { addWide, offsetOf, pageOf, TOP_PAGE, wide } from './address.ts';
import {
  adoptDescriptor,
  endProcess,
  fileOf,
  noteTaken,
  openContext,
  processOf,
  takeDescriptor,
} from './descriptors.ts';
import { releaseContext } from './destroy.ts';
import { dispatch } from './dispatch.ts';
import { answerFaults, closeFaultQueue, readFaults, type TransferResult } from './fault-queue.ts';
import type { Answer, Kernel, Reply } from './kernel.ts';
import { noteMemory } from './memory-records.ts';
import { dropContext, mustGet } from './objects.ts';
import { reason } from './reason.ts';
import type { Context, OpenFile, Process } from './state.ts';
import { knownBytes } from './user-bytes.ts';
import type { InputBuffer, UserCall } from './user-call.ts';
import { canWrite, copyFromUser, copyToUser } from './user-copy.ts';
import { closeVeventq, readEvents } from './veventq.ts';
import { dropWindows } from './window.ts';

const NO_IOCTL = reason(
  'descriptor-without-ioctl',
  'ENOTTY',
  'fs/ioctl.c vfs_ioctl',
  'the file behind the descriptor takes no ioctl',
);
const NOT_WRITABLE = reason(
  'descriptor-not-writable',
  'EINVAL',
  'eventq.c iommufd_veventq_fops',
  'a queue of events takes no answers',
);
const NO_BUFFERS: readonly InputBuffer[] = [];

/** Applies one recorded call to the kernel and answers it. Reads nothing of the recorded reply. */
export function execute(kernel: Kernel, call: Call): Reply {
  const { reply } = kernel;
  reply.modelled = true;
  reply.ret = 0;
  reply.errno = 0;
  reply.reason = null;
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
      return transfer(kernel, process, call, readDescriptor);
    case 'write':
      return transfer(kernel, process, call, writeDescriptor);
    case 'mmap':
    case 'munmap':
    case 'note':
    case 'fork':
    case 'waitpid':
    case 'memfd_create':
    case 'ftruncate':
      // What the process does to itself: inputs, whose results are taken as recorded.
      forgetWindows(kernel, process, call);
      noteMemory(kernel, process, call);
      if (call.op === 'waitpid') exitProcess(kernel, call.child);
      return reply;
    case 'cap_set_proc':
    case 'procstatus':
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
  if (file?.kind === 'access' || file?.kind === 'fault') return settle(kernel, NO_IOCTL);
  if (file === undefined || file.kind !== 'iommufd') {
    reply.modelled = false;
    return reply;
  }
  const context = kernel.state.contexts[file.context]!;
  const answer = dispatch(kernel, context, record.cmd, record.arg !== null);
  return settle(kernel, answer);
}

function prepare(call: UserCall, process: Process, record: IoctlCall): void {
  call.pid = process.pid;
  call.mm = process.mm;
  call.arg = record.arg ?? NO_BYTES;
  call.argument = record.argp;
  call.respondFrom = 0;
  call.respondEnd = 0;
  call.ret = 0;
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
  if (kind !== 'iommufd' && !(kind === 'container' && kernel.servesContainers)) return undefined;
  openContext(kernel, process, fd, kind === 'container' ? 'mm' : 'user');
  return fileOf(kernel, process, fd);
}

/** The number that open returned is an input: the kernel's whole table of descriptors is not recorded. */
function open(kernel: Kernel, process: Process, record: OpenCall): Reply {
  const { reply } = kernel;
  reply.ret = record.ret;
  reply.errno = record.errno;
  if (record.replied && record.ret < 0) return reply;
  const fd = record.replied ? record.ret : record.fd;
  reply.ret = fd;
  noteTaken(process, fd);
  if (record.kind === 'iommufd' || (record.kind === 'container' && kernel.servesContainers)) {
    openContext(kernel, process, fd, record.kind === 'container' ? 'mm' : 'user');
  } else {
    takeDescriptor(kernel, process, fd);
  }
  return reply;
}

function close(kernel: Kernel, process: Process, record: CloseCall): Reply {
  const file = fileOf(kernel, process, record.fd) ?? unseenFile(kernel, process, record);
  if (file !== undefined) closeFile(kernel, file);
  delete process.descriptors[record.fd];
  return kernel.reply;
}

/** One descriptor of an open file goes; with the last one what is behind it. */
export function closeFile(kernel: Kernel, file: OpenFile): void {
  file.descriptors -= 1;
  if (file.descriptors === 0) {
    delete kernel.state.files[file.id];
    if (file.kind === 'dmabuf') delete kernel.state.dmabufs[file.id];
  }
  const context = kernel.state.contexts[file.context];
  if (context === undefined) return;
  if (isReleasing(kernel, context, file)) releaseContext(kernel, context);
}

function release(kernel: Kernel, file: OpenFile): void {
  closeFile(kernel, file);
}

function isReleasing(kernel: Kernel, context: Context, file: OpenFile): boolean {
  if (file.kind === 'iommufd') return dropContext(context, true, file.descriptors);
  if (file.descriptors > 0) return false;
  if (file.kind === 'access') return closeAccess(kernel, context, mustGet(context, file.object, 'access'));
  if (file.kind === 'veventq') return closeVeventq(context, mustGet(context, file.object, 'veventq'));
  if (file.kind === 'fault') return closeFaultQueue(context, mustGet(context, file.object, 'fault'));
  return false;
}

/** A process is gone, as waitpid or lifetimes.ts tells. */
export function exitProcess(kernel: Kernel, pid: number): void {
  const mm = kernel.state.processes[pid]?.mm;
  if (mm !== undefined) releaseAll(kernel, dropWindows(kernel, mm, 0, TOP_PAGE));
  endProcess(kernel, pid, release);
}

/** mmap and munmap take away what was mapped at these addresses before. */
function forgetWindows(kernel: Kernel, process: Process, record: Call): void {
  if (record.op !== 'mmap' && record.op !== 'munmap') return;
  const first = record.op === 'mmap' ? record.mapped : record.addr;
  if (first === null || record.len === 0n) return;
  releaseAll(kernel, dropWindows(kernel, process.mm, pageOf(first), pageOf(first + record.len - 1n)));
}

function releaseAll(kernel: Kernel, contexts: readonly Context[]): void {
  for (const context of contexts) releaseContext(kernel, context);
}

type Transfer = (
  kernel: Kernel,
  context: Context,
  file: OpenFile,
  record: ReadCall | WriteCall,
) => TransferResult | null;

/** read and write of a descriptor; null from `run` means that the model does not know it. */
function transfer(kernel: Kernel, process: Process, record: ReadCall | WriteCall, run: Transfer): Reply {
  const { reply, call } = kernel;
  const file = fileOf(kernel, process, record.fd) ?? unseenFile(kernel, process, record);
  const context = file === undefined ? undefined : kernel.state.contexts[file.context];
  call.pid = process.pid;
  call.mm = process.mm;
  call.writes.length = 0;
  call.unknown.length = 0;
  call.buffers = NO_BUFFERS;
  const result = file === undefined || context === undefined ? null : run(kernel, context, file, record);
  if (result === null) {
    reply.modelled = false;
    return reply;
  }
  reply.ret = result.refusal === null ? result.done : -1;
  reply.errno = result.refusal?.errno ?? 0;
  reply.reason = result.refusal;
  return reply;
}

function readDescriptor(
  kernel: Kernel,
  context: Context,
  file: OpenFile,
  record: ReadCall | WriteCall,
): TransferResult | null {
  let result: TransferResult;
  if (file.kind === 'fault') {
    const at = wide();
    const fits = (from: number, length: number): boolean => {
      addWide(at, pageOf(record.addr), offsetOf(record.addr), Math.floor(from / 4096), from % 4096);
      return canWrite(kernel, at.page, at.offset, length);
    };
    result = readFaults(mustGet(context, file.object, 'fault'), record.len, fits, kernel.profile.has);
  } else if (file.kind === 'veventq') {
    result = readEvents(mustGet(context, file.object, 'veventq'), record.len, kernel.profile.has);
  } else return null;
  copyToUser(kernel, pageOf(record.addr), offsetOf(record.addr), knownBytes(result.bytes));
  return result;
}

function writeDescriptor(
  kernel: Kernel,
  context: Context,
  file: OpenFile,
  record: ReadCall | WriteCall,
): TransferResult | null {
  if (file.kind === 'veventq') return { refusal: NOT_WRITABLE, done: 0, bytes: NO_BYTES };
  if (file.kind !== 'fault' || record.op !== 'write') return null;
  const recorded = record.arg instanceof Uint8Array ? record.arg : null;
  const bytes =
    recorded ??
    copyFromUser(kernel, pageOf(record.addr), offsetOf(record.addr), record.len)?.bytes ??
    NO_BYTES;
  return answerFaults(mustGet(context, file.object, 'fault'), bytes, record.len, kernel.profile.has);
}
