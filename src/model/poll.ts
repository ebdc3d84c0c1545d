import type { OtherCall } from '../trace/index.ts';
import { fileOf } from './descriptors.ts';
import type { Kernel, Reply } from './kernel.ts';
import { mustGet } from './objects.ts';
import type { Context, OpenFile, Process } from './state.ts';

/** poll of fault and event queues: eventq.c iommufd_eventq_fops_poll. */

/** EPOLLIN | EPOLLRDNORM. */
const READABLE = 0x41;
const WRITABLE = 0x4;

/** Answers `ret`, and the events that are ready in `kernel.call.revents`. */
export function pollDescriptor(kernel: Kernel, process: Process, { fields }: OtherCall): Reply {
  const { reply } = kernel;
  const file = fileOf(kernel, process, Number(fields['fd']));
  const context = file === undefined ? undefined : kernel.state.contexts[file.context];
  const ready = file === undefined || context === undefined ? null : readyEvents(context, file);
  if (ready === null) {
    reply.modelled = false;
    return reply;
  }
  kernel.call.revents = ready & Number(fields['events'] ?? 0);
  reply.ret = kernel.call.revents === 0 ? 0 : 1;
  return reply;
}

/** Null when no record tells: real hardware reports events when nothing is called. */
function readyEvents(context: Context, file: OpenFile): number | null {
  if (file.kind === 'fault') {
    const isReal = Object.values(context.objects).some((o) => o.type === 'device' && o.physical >= 0);
    if (isReal) return null;
    const queue = mustGet(context, file.object, 'fault');
    return (queue.deliver.length > 0 ? READABLE : 0) | WRITABLE;
  }
  if (file.kind !== 'veventq') return null;
  const queue = mustGet(context, file.object, 'veventq');
  if (mustGet(context, queue.viommu, 'viommu').driver !== 'mock') return null;
  return queue.events.length > 0 ? READABLE : 0;
}
