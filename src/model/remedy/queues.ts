import { IOMMU_HWPT_PGFAULT } from '../../uapi/index.ts';
import { offsetOf, pageOf } from '../address.ts';
import { numberIn, objectIn, wideIn } from '../check-order/check.ts';
import { holesOf } from '../iova-space.ts';
import { spaceOf } from '../kernel.ts';
import type { Context, FaultQueue, KernelObject } from '../state.ts';
import { virtualKey } from '../virtual-key.ts';
import { count, type Explain, hex, ofObject, plain, type Refused, remedy } from './finding.ts';

/** Refusals about vIOMMUs, queues, their descriptors, and things that the selftest looks at. */

type InContext = Refused & { readonly context: Context };

/** The object behind the descriptor of a read or write. */
function objectOfFile({ kernel, call, context, descriptors }: InContext): KernelObject | undefined {
  const file = 'fd' in call ? kernel.state.files[descriptors[call.fd] ?? 0] : undefined;
  return context.objects[file?.object ?? 0];
}

function faultQueueOf(refused: InContext): FaultQueue | null {
  const object = objectOfFile(refused);
  return object?.type === 'fault' ? object : null;
}

const cookies: Explain = (refused) => {
  const queue = faultQueueOf(refused);
  if (queue === null) return null;
  const waiting = Object.keys(queue.responses);
  const unread = queue.deliver.length;
  return remedy(
    [
      plain(
        waiting.length === 0
          ? 'no group waits for an answer'
          : `cookies that wait for an answer: ${waiting.join(', ')}`,
      ),
      ...(unread === 0 ? [] : [plain(`${count(unread, 'group')} not read yet: they have no cookies`)]),
    ],
    waiting.length === 0 ? null : `with cookie ${waiting.join(' or ')}`,
  );
};

const groupTooLarge: Explain = (refused) => {
  const group = faultQueueOf(refused)?.deliver[0];
  if (group === undefined) return null;
  const bytes = group.faults.length * IOMMU_HWPT_PGFAULT.sizeBytes;
  return remedy(
    [plain(`the first group has ${count(group.faults.length, 'fault')}`)],
    `with a buffer of ${bytes} bytes`,
  );
};

const eventTooLarge: Explain = (refused) => {
  const queue = objectOfFile(refused);
  const event = queue?.type === 'veventq' ? queue.events[0] : undefined;
  if (event === undefined) return null;
  const bytes = 8 + (event.data?.length ?? 0);
  return remedy(
    [plain(`the first event has ${bytes} bytes with its header`)],
    `with a buffer of ${bytes} bytes`,
  );
};

/** The object that has what is asked for already. */
function taken(how: string, holder: (refused: InContext) => number | undefined): Explain {
  return (refused) => {
    const object = refused.context.objects[holder(refused) ?? 0];
    return object === undefined
      ? null
      : remedy([ofObject(refused.context, object, how)], 'after it is destroyed');
  };
}

const viommuOf = (refused: InContext) => {
  const viommu = objectIn(refused, 'viommu_id');
  return viommu?.type === 'viommu' ? viommu : undefined;
};

const previousMissing: Explain = (refused) => {
  const made = Object.keys(viommuOf(refused)?.hwQueues ?? {});
  return remedy(
    [plain(`queues of the vIOMMU: ${made.length === 0 ? 'none' : `index ${made.join(', ')}`}`)],
    `after the queue of index ${numberIn(refused, 'index') - 1} is made`,
  );
};

const ranges: Explain = (refused) => {
  const ioas = objectIn(refused, 'ioas_id');
  if (ioas?.type !== 'ioas') return null;
  const needed = holesOf(spaceOf(refused.kernel, ioas).reserved).length;
  return remedy([plain(`there are ${count(needed, 'range')}`)], `with num_iovas ${needed}`);
};

const iotlb: Explain = (refused) => {
  const hwpt = objectIn(refused, 'id');
  if (hwpt?.type !== 'hwpt-nested') return null;
  return remedy([ofObject(refused.context, hwpt, `has these entries: ${hwpt.iotlb.map(hex).join(', ')}`)]);
};

const cache: Explain = (refused) => {
  const device = objectIn(refused, 'id');
  if (device?.type !== 'device') return null;
  return remedy([
    ofObject(refused.context, device, `has these entries: ${device.mock.cache.map(hex).join(', ')}`),
  ]);
};

export const QUEUE_REMEDIES: Readonly<Record<string, Explain>> = {
  'fault-cookie-unknown': cookies,
  'fault-group-does-not-fit': groupTooLarge,
  'vevent-does-not-fit': eventTooLarge,
  'device-has-vdevice': taken('belongs to the device already', (refused) => {
    const device = objectIn(refused, 'dev_id');
    return device?.type === 'device' ? device.vdevice : undefined;
  }),
  'virtual-id-taken': taken('has this virtual id', (refused) => {
    const id = wideIn(refused, 'virt_id');
    return viommuOf(refused)?.vdevices[virtualKey(pageOf(id), offsetOf(id))];
  }),
  'veventq-type-taken': taken('takes this type of event', (refused) => {
    return viommuOf(refused)?.veventqs[numberIn(refused, 'type')];
  }),
  'hw-queue-index-taken': taken('has this index', (refused) => {
    return viommuOf(refused)?.hwQueues[numberIn(refused, 'index')];
  }),
  'hw-queue-previous-missing': previousMissing,
  'iova-ranges-buffer-too-short': ranges,
  'check-iotlb-differs': iotlb,
  'check-device-cache-differs': cache,
};
