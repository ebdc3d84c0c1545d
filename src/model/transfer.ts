import type { ReadCall, WriteCall } from '../trace/index.ts';
import { addWide, offsetOf, pageOf, wide } from './address.ts';
import { answerFaults, readFaults, type TransferResult } from './fault-queue.ts';
import type { Kernel, Reply } from './kernel.ts';
import { mustGet } from './objects.ts';
import { reason } from './reason.ts';
import type { Context, OpenFile, Process } from './state.ts';
import { knownBytes } from './user-bytes.ts';
import type { InputBuffer } from './user-call.ts';
import { canWrite, copyFromUser, copyToUser } from './user-copy.ts';
import { readEvents } from './veventq.ts';
import { pciDevice } from './vfio/pci.ts';
import { vfioPciTransfer } from './vfio-pci/index.ts';

/** read, pread, write and pwrite of the descriptors that the kernel made for iommufd and VFIO. */

const NOT_WRITABLE = reason(
  'descriptor-not-writable',
  'EINVAL',
  'eventq.c iommufd_veventq_fops',
  'a queue of events takes no answers',
);
const NO_BYTES = new Uint8Array(0);
const NO_BUFFERS: readonly InputBuffer[] = [];

type Transfer = ReadCall | WriteCall;

export function transfer(
  kernel: Kernel,
  process: Process,
  record: Transfer,
  file: OpenFile | undefined,
): Reply {
  const { reply, call } = kernel;
  call.pid = process.pid;
  call.mm = process.mm;
  call.writes.length = 0;
  call.unknown.length = 0;
  call.buffers = NO_BUFFERS;
  const result = file === undefined ? null : transferOf(kernel, process, record, file);
  if (result === null) {
    reply.modelled = false;
    return reply;
  }
  reply.ret = result.refusal === null ? result.done : -1;
  reply.errno = result.refusal?.errno ?? 0;
  reply.reason = result.refusal;
  return reply;
}

/** Null when the model does not know the answer. */
function transferOf(
  kernel: Kernel,
  process: Process,
  record: Transfer,
  file: OpenFile,
): Pick<TransferResult, 'refusal' | 'done'> | null {
  if (file.kind === 'device') return transferDevice(kernel, process, record, file);
  const context = kernel.state.contexts[file.context];
  if (context === undefined || record.op === 'pread' || record.op === 'pwrite') return null;
  return record.op === 'read'
    ? readDescriptor(kernel, context, file, record)
    : writeDescriptor(kernel, context, file, record);
}

function readDescriptor(
  kernel: Kernel,
  context: Context,
  file: OpenFile,
  record: Transfer,
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
    const queue = mustGet(context, file.object, 'veventq');
    result = readEvents(queue, record.len, kernel.profile.has);
    // Events of real hardware come when nothing is called: only a refusal is certain.
    const isMock = mustGet(context, queue.viommu, 'viommu').driver === 'mock';
    if (!isMock && result.refusal === null && record.len >= EVENT_HEADER_BYTES) return null;
  } else return null;
  copyToUser(kernel, pageOf(record.addr), offsetOf(record.addr), knownBytes(result.bytes));
  return result;
}

/** sizeof(struct iommufd_vevent_header): a shorter read is refused whatever there is. */
const EVENT_HEADER_BYTES = 8;

function writeDescriptor(
  kernel: Kernel,
  context: Context,
  file: OpenFile,
  record: Transfer,
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

/**
 * Where read and write of a device stand is not tracked: only a descriptor without access is certain then.
 */
function transferDevice(
  kernel: Kernel,
  process: Process,
  record: Transfer,
  file: OpenFile,
): Pick<TransferResult, 'refusal' | 'done'> | null {
  const device = pciDevice(kernel, process, file);
  if (record.off === null && device.granted) return null;
  return vfioPciTransfer(kernel, device, {
    isWrite: record.op === 'write' || record.op === 'pwrite',
    addr: record.addr,
    lengthBytes: record.len,
    offset: record.off ?? 0n,
    data: 'arg' in record && record.arg instanceof Uint8Array ? record.arg : null,
  });
}
