import { closeAccess } from './access.ts';
import { releaseContext } from './destroy.ts';
import { closeFaultQueue } from './fault-queue.ts';
import type { Kernel } from './kernel.ts';
import { dropContext, mustGet } from './objects.ts';
import type { Context, OpenFile } from './state.ts';
import { closeVeventq } from './veventq.ts';
import { closeContainerFile } from './vfio/container.ts';
import { closeDeviceFile } from './vfio/device-fd.ts';
import { closeGroupFile } from './vfio/group-fd.ts';

/** One descriptor, or one mapping, of an open file goes; with the last one what is behind it. */
export function closeFile(kernel: Kernel, file: OpenFile): void {
  file.descriptors -= 1;
  if (file.descriptors === 0) {
    delete kernel.state.files[file.id];
    if (file.kind === 'dmabuf') delete kernel.state.dmabufs[file.id];
    else if (file.kind === 'container') closeContainerFile(kernel, file);
    else if (file.kind === 'group') closeGroupFile(kernel, file);
    else if (file.kind === 'device') {
      const held = closeDeviceFile(kernel, file);
      if (held !== undefined) closeFile(kernel, held);
    }
  }
  const context = kernel.state.contexts[file.context];
  if (context !== undefined && isReleasing(kernel, context, file)) releaseContext(kernel, context);
}

function isReleasing(kernel: Kernel, context: Context, file: OpenFile): boolean {
  if (file.kind === 'iommufd') return dropContext(context, true, file.descriptors);
  if (file.descriptors > 0) return false;
  if (file.kind === 'access') return closeAccess(kernel, context, mustGet(context, file.object, 'access'));
  if (file.kind === 'veventq') return closeVeventq(context, mustGet(context, file.object, 'veventq'));
  if (file.kind === 'fault') return closeFaultQueue(context, mustGet(context, file.object, 'fault'));
  return false;
}
