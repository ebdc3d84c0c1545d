import { IOMMU_DESTROY, offsetsOf } from '../uapi/index.ts';
import { destroyHwQueue } from './hw-queue.ts';
import { destroyNested, destroyPaging } from './hwpt-users.ts';
import { destroyIoas } from './ioas.ts';
import { mergeRanges } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { refuseDestroy, removeObject } from './objects.ts';
import type { Refusal } from './reason.ts';
import { destroySelftest } from './selftest.ts';
import { holdsSlot } from './slots.ts';
import type { Context, KernelObject } from './state.ts';
import { u32 } from './user-call.ts';
import { destroyVdevice } from './vdevice.ts';
import { destroyVeventq } from './veventq.ts';
import { destroyViommu } from './viommu.ts';

/** IOMMU_DESTROY, and the release of a whole context: main.c of iommufd. */

const DESTROY = offsetsOf(IOMMU_DESTROY);

export function destroy(kernel: Kernel, context: Context): Refusal {
  const id = u32(kernel.call, DESTROY.id);
  const refusal = refuseDestroy(context, id);
  if (refusal === null) destroyObject(kernel, context, context.objects[id]!);
  return refusal;
}

/** Removes an object that nothing refers to, and what its type undoes. */
function destroyObject(kernel: Kernel, context: Context, object: KernelObject): void {
  removeObject(kernel, context, object);
  switch (object.type) {
    case 'ioas':
      destroyIoas(kernel, context, object);
      return;
    case 'hwpt-paging':
      destroyPaging(kernel, context, object);
      return;
    case 'hwpt-nested':
      destroyNested(kernel, context, object);
      return;
    case 'selftest':
      destroySelftest(kernel, context, object);
      return;
    case 'viommu':
      destroyViommu(kernel, context, object);
      return;
    case 'vdevice':
      destroyVdevice(context, object);
      return;
    case 'veventq':
      destroyVeventq(context, object);
      return;
    case 'hw-queue':
      destroyHwQueue(kernel, context, object);
      return;
    case 'fault':
      return;
    case 'device':
    case 'access':
      throw new Error(`${object.type} ${object.id} is destroyed by its driver only`);
  }
}

/**
 * `iommufd_fops_release`: passes over the ids, ascending, that destroy every object whose only user is the
 * table, until none is left.
 */
export function releaseContext(kernel: Kernel, context: Context): void {
  for (;;) {
    const ids = Object.keys(context.objects).map(Number);
    if (ids.length === 0) break;
    let destroyed = 0;
    for (const id of ids) {
      const object = context.objects[id];
      if (object === undefined || object.users !== 1) continue;
      destroyObject(kernel, context, object);
      destroyed += 1;
    }
    if (destroyed > 0) continue;
    // The kernel warns and leaks what is left then, which only a leaked device of the selftest can cause.
    if (isLeaking(context)) {
      // Nobody can ask for these any more.
      for (const object of Object.values(context.objects)) {
        if (object.type === 'ioas') spaceOf(kernel, object).reserved = mergeRanges([]);
      }
      break;
    }
    throw new Error(`context ${context.id} can not be released: ${ids.length} objects hold each other`);
  }
  delete kernel.state.contexts[context.id];
  kernel.effects.contextReleased(context.id);
}

function isLeaking(context: Context): boolean {
  return Object.values(context.objects).some((o) => o.type === 'device' && holdsSlot(context, o));
}
