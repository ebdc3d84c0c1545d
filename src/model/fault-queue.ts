import { faultQueueLifecycle } from '../../machines/index.ts';
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_PAGE_RESPONSE,
  IOMMU_HWPT_PGFAULT,
  IOMMU_PAGE_RESP,
  offsetsOf,
} from '../uapi/index.ts';
import { writeWide } from './address.ts';
import { BAD_USER_POINTER, UNKNOWN_FLAGS } from './check.ts';
import { answerDescriptor } from './descriptors.ts';
import type { Kernel } from './kernel.ts';
import { addObject, dropContext, holdContext, moved, nextId } from './objects.ts';
import type { Features } from './profile.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, FaultGroup, FaultQueue } from './state.ts';
import { respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';

/** Fault queues: fault.c of iommufd. */

const ALLOC = offsetsOf(IOMMU_FAULT_QUEUE_ALLOC);
const FAULT = offsetsOf(IOMMU_HWPT_PGFAULT);
const RESPONSE = offsetsOf(IOMMU_HWPT_PAGE_RESPONSE);
const FAULT_BYTES = IOMMU_HWPT_PGFAULT.sizeBytes;
const RESPONSE_BYTES = IOMMU_HWPT_PAGE_RESPONSE.sizeBytes;

const ODD_COUNT = reason(
  'fault-count-not-whole-records',
  'ESPIPE',
  'fault.c iommufd_fault_fops_read, _write',
  'the byte count is no multiple of the record size',
);
const GROUP_TOO_LARGE = reason(
  'fault-group-does-not-fit',
  'EINVAL',
  'fault.c iommufd_fault_fops_read',
  'the buffer is too small for the first group of faults',
);
const BAD_RESPONSE_CODE = reason(
  'fault-response-code-unknown',
  'EINVAL',
  'fault.c iommufd_fault_fops_write',
  'the response code is neither SUCCESS nor INVALID',
);
const BAD_COOKIE = reason(
  'fault-cookie-unknown',
  'EINVAL',
  'fault.c iommufd_fault_fops_write',
  'no delivered group of faults waits for an answer under this cookie',
);

const BUFFER_FAULT = reason(
  'read-buffer-fault',
  'EFAULT',
  'fault.c iommufd_fault_fops_read, _write',
  'the buffer of the read or write can not be used',
);

export function faultQueueAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, ALLOC.flags) !== 0) return UNKNOWN_FLAGS;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const queue: FaultQueue = {
    type: 'fault',
    id: nextId(context),
    // The open descriptor is a user too.
    users: 2,
    lifecycle: faultQueueLifecycle.initial,
    deliver: [],
    responses: {},
    firstCookie: 1,
  };
  addObject(kernel, context, queue);
  holdContext(context);
  setU32(call, ALLOC.out_fault_id, queue.id);
  answerDescriptor(kernel, 'fault', context.id, queue.id, 'out_fault_fd', ALLOC.out_fault_fd);
  respond(call, IOMMU_FAULT_QUEUE_ALLOC.sizeBytes);
  return null;
}

/** The last descriptor of the queue was closed; true when the context must be released. */
export function closeFaultQueue(context: Context, queue: FaultQueue): boolean {
  queue.users -= 1;
  const { event } = faultQueueLifecycle;
  queue.lifecycle = moved(faultQueueLifecycle.step(queue.lifecycle, event.CLOSE_FD), 'closing a fault queue');
  return dropContext(context, false, 0);
}

/** Faults of one attachment of a group are answered INVALID by the kernel: `iommufd_auto_response_faults`. */
export function answerFaultsOf(context: Context, queueId: number, group: number, handle: number): void {
  if (queueId === 0) return;
  const queue = context.objects[queueId];
  if (queue?.type !== 'fault') return;
  const isOther = (fault: FaultGroup): boolean => fault.group !== group || fault.handle !== handle;
  queue.deliver = queue.deliver.filter(isOther);
  for (const [cookie, fault] of Object.entries(queue.responses)) {
    if (!isOther(fault)) delete queue.responses[Number(cookie)];
  }
}

/** What a read or write of the queue's descriptor answers. */
export interface TransferResult {
  readonly refusal: Refusal;
  /** Bytes done; the return value when nothing was refused. */
  readonly done: number;
  /** Bytes that a read put into the buffer. */
  readonly bytes: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/**
 * `iommufd_fault_fops_read` of `count` bytes: whole groups while they fit. A group that the buffer does not
 * take (`fits` tells of bytes from..from + length) stays the first to be read; of a short one, older kernels
 * did not say so by an error.
 */
export function readFaults(
  queue: FaultQueue,
  count: number,
  fits: (from: number, length: number) => boolean,
  has: Features,
): TransferResult {
  if (count % FAULT_BYTES !== 0) return { refusal: ODD_COUNT, done: 0, bytes: NOTHING };
  const bytes = new Uint8Array(Math.min(count, totalFaults(queue) * FAULT_BYTES));
  let done = 0;
  let refusal: Refusal = null;
  const tooLarge = has.strictFaultRead ? GROUP_TOO_LARGE : null;
  for (let group = queue.deliver[0]; group !== undefined; group = queue.deliver[0]) {
    const length = group.faults.length * FAULT_BYTES;
    const isTooLarge = length > count - done;
    if (isTooLarge) refusal = tooLarge;
    else if (!fits(done, length)) refusal = BUFFER_FAULT;
    if (isTooLarge || refusal !== null) break;
    queue.deliver.shift();
    const cookie = lowestCookie(queue);
    queue.responses[cookie] = group;
    for (const fault of group.faults) {
      writeFault(new DataView(bytes.buffer, done, FAULT_BYTES), group, fault, cookie);
      done += FAULT_BYTES;
    }
  }
  return { refusal: done === 0 ? refusal : null, done, bytes: bytes.subarray(0, done) };
}

function totalFaults(queue: FaultQueue): number {
  return queue.deliver.reduce((sum, group) => sum + group.faults.length, 0);
}

function lowestCookie(queue: FaultQueue): number {
  let cookie = queue.firstCookie;
  while (queue.responses[cookie] !== undefined) cookie += 1;
  return cookie;
}

function writeFault(
  view: DataView,
  group: FaultGroup,
  fault: FaultGroup['faults'][number],
  cookie: number,
): void {
  view.setUint32(FAULT.flags, fault.flags, true);
  view.setUint32(FAULT.dev_id, group.device, true);
  view.setUint32(FAULT.pasid, fault.pasid, true);
  view.setUint32(FAULT.grpid, fault.grpid, true);
  view.setUint32(FAULT.perm, fault.perm, true);
  writeWide(view, FAULT.addr, fault.addrPage, fault.addrOffset);
  view.setUint32(FAULT.length, 0, true);
  view.setUint32(FAULT.cookie, cookie, true);
}

/**
 * `iommufd_fault_fops_write` of `count` bytes: answers one group a response, until one is refused. `bytes` is
 * what of them can be read: older kernels answered what was missing of the first response.
 */
export function answerFaults(
  queue: FaultQueue,
  bytes: Uint8Array,
  count: number,
  has: Features,
): TransferResult {
  if (count % RESPONSE_BYTES !== 0) return { refusal: ODD_COUNT, done: 0, bytes: NOTHING };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let done = 0;
  if (!has.answersWriteFault && bytes.length < Math.min(count, RESPONSE_BYTES))
    return { refusal: null, done: RESPONSE_BYTES - bytes.length, bytes: NOTHING };
  for (; done < count; done += RESPONSE_BYTES) {
    const refusal =
      done + RESPONSE_BYTES > bytes.length
        ? BUFFER_FAULT
        : answerOne(
            queue,
            view.getUint32(done + RESPONSE.cookie, true),
            view.getUint32(done + RESPONSE.code, true),
          );
    if (refusal !== null) return { refusal: done === 0 ? refusal : null, done, bytes: NOTHING };
  }
  return { refusal: null, done, bytes: NOTHING };
}

function answerOne(queue: FaultQueue, cookie: number, code: number): Refusal {
  if (code !== IOMMU_PAGE_RESP.SUCCESS && code !== IOMMU_PAGE_RESP.INVALID) return BAD_RESPONSE_CODE;
  if (queue.responses[cookie] === undefined) {
    // The xarray starts at 1 by keeping entry 0 busy while it holds anything; erasing entry 0 frees it for
    // good.
    if (cookie === 0 && Object.keys(queue.responses).length > 0) queue.firstCookie = 0;
    return BAD_COOKIE;
  }
  delete queue.responses[cookie];
  return null;
}
