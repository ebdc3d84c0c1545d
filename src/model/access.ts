import { accessLifecycle, ioasLifecycle } from '../../machines/index.ts';
import { dropItems, NOT_ATTACHED } from './access-pins.ts';
import { IOAS_NOT_FOUND } from './check.ts';
import { refusePageAlignment, updateAlignment } from './iova-domains.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { dropContext, getObject, moved, mustGet, removeObject } from './objects.ts';
import type { Refusal } from './reason.ts';
import type { Access, Context, Ioas } from './state.ts';

/**
 * Access objects: software access to an IOAS, with or without pinned pages. device.c and pages.c of iommufd.
 */

/** `iommufd_access_change_ioas` to an IOAS: its alignment may rise to a page. */
export function attachAccess(kernel: Kernel, context: Context, access: Access, ioasId: number): Refusal {
  const ioas = getObject(context, ioasId, 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  if (access.ioas === ioasId) return null;
  if (access.pinning) {
    const refusal = refusePageAlignment(kernel, ioas);
    if (refusal !== null) return refusal;
  }
  const listId = lowestFree(ioas.accesses);
  ioas.accesses[listId] = access.id;
  updateAlignment(kernel, context, ioas);
  acquireIoas(ioas);
  const { event, state } = accessLifecycle;
  const step = access.lifecycle === state.created ? event.ATTACH : event.REPLACE;
  if (access.ioas !== 0) leaveIoas(kernel, context, access);
  access.ioas = ioasId;
  access.listId = listId;
  access.lifecycle = moved(accessLifecycle.step(access.lifecycle, step), 'attaching an access');
  return null;
}

/** `iommufd_access_replace`. */
export function replaceAccess(kernel: Kernel, context: Context, access: Access, ioasId: number): Refusal {
  return access.ioas === 0 ? NOT_ATTACHED : attachAccess(kernel, context, access, ioasId);
}

function lowestFree(list: Record<number, number>): number {
  let id = 0;
  while (list[id] !== undefined) id += 1;
  return id;
}

export function acquireIoas(ioas: Ioas): void {
  ioas.users += 1;
  ioas.lifecycle = moved(ioasLifecycle.step(ioas.lifecycle, ioasLifecycle.event.ACQUIRE), 'using an IOAS');
}

export function releaseIoas(ioas: Ioas): void {
  ioas.users -= 1;
  const last = ioas.users === 1 ? ioasLifecycle.guard.last : 0;
  ioas.lifecycle = moved(
    ioasLifecycle.step(ioas.lifecycle, ioasLifecycle.event.RELEASE, last),
    'releasing an IOAS',
  );
}

/** Drops every pin and leaves the IOAS; `access.ioas` still names it. */
export function leaveIoas(kernel: Kernel, context: Context, access: Access): void {
  const ioas = mustGet(context, access.ioas, 'ioas');
  dropItems(kernel, access, spaceOf(kernel, ioas), () => true);
  delete ioas.accesses[access.listId];
  updateAlignment(kernel, context, ioas);
  releaseIoas(ioas);
}

/**
 * The access descriptor was closed: `iommufd_test_staccess_release`, `iommufd_access_destroy`. True when it
 * held the last reference to the context, which must be released then.
 */
export function closeAccess(kernel: Kernel, context: Context, access: Access): boolean {
  if (access.ioas !== 0) leaveIoas(kernel, context, access);
  access.ioas = 0;
  access.lifecycle = moved(
    accessLifecycle.step(access.lifecycle, accessLifecycle.event.CLOSE),
    'closing an access',
  );
  removeObject(kernel, context, access);
  return dropContext(context, false, 0);
}
