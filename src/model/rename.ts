import type { Kernel } from './kernel.ts';
import type { Context, KernelObject } from './state.ts';

/**
 * Gives an object another id, wherever it is named. Only for a replay whose record says that the kernel chose
 * another id than the model; false when that id is taken.
 */
export function renameObject(kernel: Kernel, context: Context, from: number, to: number): boolean {
  const object = context.objects[from];
  if (object === undefined || context.objects[to] !== undefined || to === 0) return false;
  const map = (id: number): number => (id === from ? to : id);
  delete context.objects[from];
  context.objects[to] = { ...object, id: to };
  context.freeHint = Math.min(context.freeHint, from);
  if (context.vfioIoas === from) context.vfioIoas = to;
  for (const [id, other] of Object.entries(context.objects))
    context.objects[Number(id)] = renamed(other, map);
  for (const group of Object.values(context.groups)) {
    for (const slot of Object.values(group.slots)) {
      slot.hwpt = map(slot.hwpt);
      slot.devices = slot.devices.map(map);
    }
  }
  kernel.state.windows = kernel.state.windows.map((window) =>
    window.context === context.id ? { ...window, viommu: map(window.viommu) } : window,
  );
  for (const [id, device] of Object.entries(kernel.state.vfio.devices))
    if (device.context === context.id && device.object === from)
      kernel.state.vfio.devices[Number(id)] = { ...device, object: to };
  for (const [id, file] of Object.entries(kernel.state.files)) {
    if (file.context !== context.id || file.object !== from) continue;
    kernel.state.files[Number(id)] = { ...file, object: to };
  }
  return true;
}

/** The object with every id it refers to mapped. */
function renamed(object: KernelObject, map: (id: number) => number): KernelObject {
  switch (object.type) {
    case 'ioas': {
      const accesses = mappedValues(object.accesses, map);
      const reserved = object.reserved.map((range) => ({ ...range, owner: renamedOwner(range.owner, map) }));
      return {
        ...object,
        domains: object.domains.map(map),
        hwpts: object.hwpts.map(map),
        accesses,
        reserved,
      };
    }
    case 'hwpt-paging':
      return { ...object, ioas: map(object.ioas), fault: map(object.fault) };
    case 'hwpt-nested':
      return {
        ...object,
        parent: map(object.parent),
        viommu: map(object.viommu),
        fault: map(object.fault),
      };
    case 'device':
      return {
        ...object,
        vdevice: map(object.vdevice),
        mock: { ...object.mock, viommu: map(object.mock.viommu) },
      };
    case 'access':
      return { ...object, ioas: map(object.ioas) };
    case 'selftest':
      return { ...object, device: map(object.device) };
    case 'viommu':
      return {
        ...object,
        hwpt: map(object.hwpt),
        vdevices: mappedValues(object.vdevices, map),
        veventqs: mappedValues(object.veventqs, map),
        hwQueues: mappedValues(object.hwQueues, map),
      };
    case 'vdevice':
      return { ...object, viommu: map(object.viommu), device: map(object.device) };
    case 'veventq':
      return { ...object, viommu: map(object.viommu) };
    case 'hw-queue':
      return { ...object, viommu: map(object.viommu), access: map(object.access) };
    case 'fault':
      return { ...object, deliver: object.deliver.map((group) => ({ ...group, device: map(group.device) })) };
  }
}

function mappedValues(
  ids: Readonly<Record<string, number>>,
  map: (id: number) => number,
): Record<string, number> {
  return Object.fromEntries(Object.entries(ids).map(([key, id]) => [key, map(id)]));
}

function renamedOwner(owner: string, map: (id: number) => number): string {
  const [kind, id] = owner.split(':');
  return id === undefined ? owner : `${kind}:${map(Number(id))}`;
}
