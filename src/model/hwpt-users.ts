import { faultQueueLifecycle, hwptNestedLifecycle, hwptPagingLifecycle } from '../../machines/index.ts';
import { releaseIoas } from './access.ts';
import { removeDomain } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import { moved, mustGet, removeObject } from './objects.ts';
import type { Context, FaultQueue, HwptNested, HwptPaging } from './state.ts';
import { releaseViommu } from './viommu-users.ts';

/** Who uses a hardware page table, and what goes with its last user. hw_pagetable.c of iommufd. */

/** The HWPT reports its faults to the queue. */
export function acquireFault(hwpt: HwptPaging | HwptNested, queue: FaultQueue): void {
  hwpt.fault = queue.id;
  queue.users += 1;
  const { event } = faultQueueLifecycle;
  queue.lifecycle = moved(faultQueueLifecycle.step(queue.lifecycle, event.ACQUIRE), 'using a fault queue');
}

/** One user more: an attachment, a nested HWPT or a vIOMMU. */
export function acquireHwpt(
  hwpt: HwptPaging | HwptNested,
  user: 'attachment' | 'nested' | 'viommu' = 'attachment',
): void {
  hwpt.users += 1;
  if (hwpt.type === 'hwpt-nested') {
    const { event, guard } = hwptNestedLifecycle;
    hwpt.lifecycle = moved(
      hwptNestedLifecycle.step(hwpt.lifecycle, event.ACQUIRE_ATTACH, guard.vdeviceReady),
      'attaching to a nested HWPT',
    );
    return;
  }
  const { event, guard } = hwptPagingLifecycle;
  const step = {
    attachment: event.ACQUIRE_ATTACH,
    nested: event.ACQUIRE_NESTED,
    viommu: event.ACQUIRE_VIOMMU,
  }[user];
  hwpt.lifecycle = moved(
    hwptPagingLifecycle.step(hwpt.lifecycle, step, user === 'attachment' ? 0 : guard.nestParent),
    'using a HWPT',
  );
}

/** One user less. An automatic HWPT goes with its last one: `iommufd_hw_pagetable_put`. */
export function releaseHwpt(kernel: Kernel, context: Context, hwpt: HwptPaging | HwptNested): void {
  hwpt.users -= 1;
  if (hwpt.type === 'hwpt-nested') {
    const { event, guard } = hwptNestedLifecycle;
    const last = hwpt.users === 1 ? guard.last : 0;
    hwpt.lifecycle = moved(
      hwptNestedLifecycle.step(hwpt.lifecycle, event.RELEASE, last),
      'leaving a nested HWPT',
    );
    return;
  }
  const { event, guard, state } = hwptPagingLifecycle;
  const last = hwpt.users === 1 ? guard.last : 0;
  hwpt.lifecycle = moved(hwptPagingLifecycle.step(hwpt.lifecycle, event.RELEASE, last), 'leaving a HWPT');
  if (hwpt.lifecycle !== state.destroyed) return;
  removeObject(kernel, context, hwpt);
  destroyPaging(kernel, context, hwpt);
}

/** `iommufd_hwpt_paging_destroy`. */
export function destroyPaging(kernel: Kernel, context: Context, hwpt: HwptPaging): void {
  const ioas = mustGet(context, hwpt.ioas, 'ioas');
  ioas.hwpts = ioas.hwpts.filter((id) => id !== hwpt.id);
  removeDomain(kernel, context, ioas, hwpt.id);
  kernel.dirty.delete(hwpt.domain.key);
  releaseFault(context, hwpt.fault);
  releaseIoas(ioas);
}

/** `iommufd_hwpt_nested_destroy`. */
export function destroyNested(kernel: Kernel, context: Context, hwpt: HwptNested): void {
  releaseFault(context, hwpt.fault);
  if (hwpt.viommu !== 0) releaseViommu(mustGet(context, hwpt.viommu, 'viommu'));
  else releaseHwpt(kernel, context, mustGet(context, hwpt.parent, 'hwpt-paging'));
}

function releaseFault(context: Context, id: number): void {
  if (id === 0) return;
  const queue = mustGet(context, id, 'fault');
  queue.users -= 1;
  const { event, guard, state } = faultQueueLifecycle;
  const others = queue.users - 1 - (queue.lifecycle === state.openInUse ? 1 : 0);
  const last = others === 0 ? guard.last : 0;
  queue.lifecycle = moved(
    faultQueueLifecycle.step(queue.lifecycle, event.RELEASE, last),
    'leaving a fault queue',
  );
}
