import {
  accessLifecycle,
  contextLifecycle,
  deviceLifecycle,
  faultQueueLifecycle,
  hwptNestedLifecycle,
  hwptPagingLifecycle,
  hwQueueLifecycle,
  ioasLifecycle,
  REFUSED,
  vdeviceLifecycle,
  veventqLifecycle,
  viommuLifecycle,
} from '../../machines/index.ts';
import type { Kernel } from './kernel.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, KernelObject, ObjectType } from './state.ts';

/** Ids, users and lifecycles of the objects of one context: main.c of iommufd. */

const OBJECT_GONE = reason(
  'object-not-found',
  'ENOENT',
  'main.c iommufd_object_remove',
  'no object has this id',
);
const OBJECT_BUSY = reason(
  'object-in-use',
  'EBUSY',
  'main.c iommufd_object_remove',
  'something still refers to the object',
);

/** What each type's lifecycle says about IOMMU_DESTROY; a selftest object may always go. */
const DESTROY = {
  ioas: { lifecycle: ioasLifecycle, event: ioasLifecycle.event.DESTROY },
  'hwpt-paging': { lifecycle: hwptPagingLifecycle, event: hwptPagingLifecycle.event.DESTROY },
  'hwpt-nested': { lifecycle: hwptNestedLifecycle, event: hwptNestedLifecycle.event.DESTROY },
  device: { lifecycle: deviceLifecycle, event: deviceLifecycle.event.DESTROY },
  access: { lifecycle: accessLifecycle, event: accessLifecycle.event.DESTROY },
  fault: { lifecycle: faultQueueLifecycle, event: faultQueueLifecycle.event.DESTROY },
  viommu: { lifecycle: viommuLifecycle, event: viommuLifecycle.event.DESTROY },
  vdevice: { lifecycle: vdeviceLifecycle, event: vdeviceLifecycle.event.DESTROY },
  veventq: { lifecycle: veventqLifecycle, event: veventqLifecycle.event.DESTROY },
  'hw-queue': { lifecycle: hwQueueLifecycle, event: hwQueueLifecycle.event.DESTROY },
} as const;

/**
 * Lowest free id from 1 on: the xarray with XA_FLAGS_ALLOC1. The id is taken only when the object is added.
 */
export function nextId(context: Context): number {
  let id = context.freeHint;
  while (isTaken(context, id)) id += 1;
  context.freeHint = id;
  while (id === context.constructing || isTaken(context, id)) id += 1;
  return id;
}

function isTaken(context: Context, id: number): boolean {
  return context.objects[id] !== undefined || context.tombstones[id] !== undefined;
}

export function addObject(kernel: Kernel, context: Context, object: KernelObject): void {
  context.objects[object.id] = object;
  kernel.effects.objectCreated(context.id, object.type, object.id);
}

/** Takes an object out of the context; its id is free at once. */
export function removeObject(kernel: Kernel, context: Context, object: KernelObject): void {
  delete context.objects[object.id];
  if (object.id < context.freeHint) context.freeHint = object.id;
  if (object.id === context.vfioIoas) context.vfioIoas = 0;
  kernel.effects.objectDestroyed(context.id, object.type, object.id);
}

/** The object with this id and type, or undefined: `iommufd_get_object`, whose every failure is ENOENT. */
export function getObject<T extends ObjectType>(
  context: Context,
  id: number,
  type: T,
): Extract<KernelObject, { type: T }> | undefined {
  const object = context.objects[id];
  return object !== undefined && object.type === type
    ? (object as Extract<KernelObject, { type: T }>)
    : undefined;
}

/** An object that another one refers to: its absence would be a fault of the model. */
export function mustGet<T extends ObjectType>(
  context: Context,
  id: number,
  type: T,
): Extract<KernelObject, { type: T }> {
  const object = getObject(context, id, type);
  if (object === undefined) throw new Error(`context ${context.id}: object ${id} is no ${type}`);
  return object;
}

/** Whether IOMMU_DESTROY may remove the object with this id now. */
export function refuseDestroy(context: Context, id: number): Refusal {
  const object = context.objects[id];
  if (object === undefined) return OBJECT_GONE;
  if (object.type === 'selftest') return null;
  const { lifecycle, event } = DESTROY[object.type];
  return lifecycle.step(object.lifecycle, event) === REFUSED ? OBJECT_BUSY : null;
}

/**
 * Moves an object along its lifecycle. The model has checked that the event is allowed, so a refusal here
 * means that model and machine disagree: our bug.
 */
export function moved(next: number, what: string): number {
  if (next === REFUSED) throw new Error(`lifecycle refuses ${what}`);
  return next;
}

/** One more reference to the struct file: a descriptor, an event file, an access object, a device. */
export function holdContext(context: Context): void {
  context.fileRefs += 1;
}

/** True when the last descriptor or other holder went, and the context must be released. */
export function dropContext(context: Context, isDescriptor: boolean, descriptorsLeft: number): boolean {
  context.fileRefs -= 1;
  const { event, guard, state } = contextLifecycle;
  if (context.lifecycle === state.open && isDescriptor && descriptorsLeft === 0) {
    const referenced = context.fileRefs > 0 ? guard.referenced : 0;
    context.lifecycle = moved(
      contextLifecycle.step(context.lifecycle, event.CLOSE, referenced),
      'closing a context',
    );
  } else if (context.lifecycle === state.orphan && context.fileRefs === 0) {
    context.lifecycle = moved(
      contextLifecycle.step(context.lifecycle, event.LAST_REFERENCE_DROPPED),
      'releasing',
    );
  }
  return context.lifecycle === state.released;
}
