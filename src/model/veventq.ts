import { veventqLifecycle } from '../../machines/index.ts';
import { IOMMU_VEVENTQ_ALLOC, IOMMU_VEVENTQ_FLAGS, IOMMU_VEVENTQ_TYPE, offsetsOf } from '../uapi/index.ts';
import { BAD_USER_POINTER, RESERVED_SET, UNKNOWN_FLAGS, VIOMMU_NOT_FOUND } from './check.ts';
import { answerDescriptor } from './descriptors.ts';
import type { TransferResult } from './fault-queue.ts';
import type { Kernel } from './kernel.ts';
import { addObject, dropContext, getObject, holdContext, moved, mustGet, nextId } from './objects.ts';
import type { Features } from './profile.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Vevent, Veventq } from './state.ts';
import { respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import { acquireViommu, releaseViommu } from './viommu-users.ts';

/** Queues of a vIOMMU's events: eventq.c and driver.c of iommufd. */

const ALLOC = offsetsOf(IOMMU_VEVENTQ_ALLOC);
/** VEVENTQ_MAX_DEPTH. */
const MOST_EVENTS = 2 ** 19;
/** struct iommufd_vevent_header. */
const HEADER_BYTES = 8;
/** Sequence numbers are below INT_MAX + 1. */
const SEQUENCES = 2 ** 31;

const DEPTH = reason(
  'veventq-depth',
  'EINVAL',
  'eventq.c iommufd_veventq_alloc',
  'the queue is to hold no event, or more than 2^19',
);
const TYPE_TAKEN = reason(
  'veventq-type-taken',
  'EEXIST',
  'eventq.c iommufd_veventq_alloc',
  'the vIOMMU has a queue for this type of event already',
);
const NO_QUEUE = reason(
  'no-veventq-of-type',
  'EOPNOTSUPP',
  'driver.c iommufd_viommu_report_event',
  'the vIOMMU has no queue for this type of event',
);
const SHORTER_THAN_HEADER = reason(
  'vevent-read-shorter-than-header',
  'EINVAL',
  'eventq.c iommufd_veventq_fops_read',
  'the buffer is too small for the header of an event',
);
const EVENT_TOO_LARGE = reason(
  'vevent-does-not-fit',
  'EINVAL',
  'eventq.c iommufd_veventq_fops_read',
  'the buffer is too small for the first event',
);

export function veventqAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const type = u32(call, ALLOC.type);
  if (u32(call, ALLOC.flags) !== 0 || type === IOMMU_VEVENTQ_TYPE.DEFAULT) return UNKNOWN_FLAGS;
  if (u32(call, ALLOC.__reserved) !== 0) return RESERVED_SET;
  const depth = u32(call, ALLOC.veventq_depth);
  if (depth === 0 || (depth > MOST_EVENTS && kernel.profile.has.boundsVeventDepth)) return DEPTH;
  const viommu = getObject(context, u32(call, ALLOC.viommu_id), 'viommu');
  if (viommu === undefined) return VIOMMU_NOT_FOUND;
  if (viommu.veventqs[type] !== undefined) return TYPE_TAKEN;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const queue: Veventq = {
    type: 'veventq',
    id: nextId(context),
    // The open descriptor is a user too.
    users: 2,
    lifecycle: veventqLifecycle.initial,
    viommu: viommu.id,
    eventType: type,
    depth,
    sequence: 0,
    events: [],
  };
  addObject(kernel, context, queue);
  viommu.veventqs[type] = queue.id;
  acquireViommu(viommu);
  holdContext(context);
  setU32(call, ALLOC.out_veventq_id, queue.id);
  answerDescriptor(kernel, 'veventq', context.id, queue.id, 'out_veventq_fd', ALLOC.out_veventq_fd);
  respond(call, IOMMU_VEVENTQ_ALLOC.sizeBytes);
  return null;
}

/** The last descriptor of the queue was closed; true when the context must be released. */
export function closeVeventq(context: Context, queue: Veventq): boolean {
  queue.users -= 1;
  const { event } = veventqLifecycle;
  queue.lifecycle = moved(veventqLifecycle.step(queue.lifecycle, event.CLOSE_FD), 'closing a vEVENTQ');
  return dropContext(context, false, 0);
}

/** `iommufd_veventq_destroy`. */
export function destroyVeventq(context: Context, queue: Veventq): void {
  const viommu = mustGet(context, queue.viommu, 'viommu');
  delete viommu.veventqs[queue.eventType];
  releaseViommu(viommu);
}

/** `iommufd_viommu_report_event`: a full queue notes only that events were lost, and which was the latest. */
export function reportEvent(
  context: Context,
  viommuId: number,
  type: number,
  data: readonly number[],
): Refusal {
  const viommu = mustGet(context, viommuId, 'viommu');
  const queueId = viommu.veventqs[type];
  if (queueId === undefined) return NO_QUEUE;
  const queue = mustGet(context, queueId, 'veventq');
  const { event } = veventqLifecycle;
  queue.lifecycle = moved(veventqLifecycle.step(queue.lifecycle, event.REPORT), 'reporting an event');
  // Only the latest entry may tell of lost events: a gap in the sequence tells of earlier ones.
  if (queue.events.at(-1)?.data === null) queue.events.pop();
  const full = queue.events.length === queue.depth;
  queue.events.push({ sequence: queue.sequence, data: full ? null : data });
  queue.sequence = (queue.sequence + 1) % SEQUENCES;
  return null;
}

/**
 * `iommufd_veventq_fops_read` of `count` bytes: whole events while they fit. Older kernels answered 0 when
 * none did.
 */
export function readEvents(queue: Veventq, count: number, has: Features): TransferResult {
  const nothing = new Uint8Array(0);
  if (count < HEADER_BYTES && has.strictVeventRead)
    return { refusal: SHORTER_THAN_HEADER, done: 0, bytes: nothing };
  const { event } = veventqLifecycle;
  queue.lifecycle = moved(veventqLifecycle.step(queue.lifecycle, event.READ), 'reading events');
  let done = 0;
  let read = 0;
  for (const entry of queue.events) {
    if (done + bytesOf(entry) > count) break;
    done += bytesOf(entry);
    read += 1;
  }
  if (read === 0 && queue.events.length > 0 && has.strictVeventRead)
    return { refusal: EVENT_TOO_LARGE, done: 0, bytes: nothing };
  const bytes = new Uint8Array(done);
  let at = 0;
  for (const entry of queue.events.splice(0, read)) {
    writeEvent(new DataView(bytes.buffer, at), entry);
    at += bytesOf(entry);
  }
  return { refusal: null, done, bytes };
}

function bytesOf({ data }: Vevent): number {
  return HEADER_BYTES + (data?.length ?? 0);
}

function writeEvent(view: DataView, { sequence, data }: Vevent): void {
  view.setUint32(0, data === null ? IOMMU_VEVENTQ_FLAGS.LOST_EVENTS : 0, true);
  view.setUint32(4, sequence, true);
  data?.forEach((byte, index) => {
    view.setUint8(HEADER_BYTES + index, byte);
  });
}
