import type { CallFacts } from '../check-order/check.ts';
import { slotName } from '../object-facts.ts';
import type { Context, KernelObject } from '../state.ts';
import { type Finding, ofObject, plain } from './finding.ts';

/** Who refers to an object: one finding for each user besides the table of ids. */

/** Holders of an object, in the order of their ids. */
export function holdersOf(
  { kernel }: Pick<CallFacts, 'kernel'>,
  context: Context,
  object: KernelObject,
): Finding[] {
  const { id } = object;
  const others = Object.values(context.objects);
  const users = (how: string, uses: (other: KernelObject) => boolean): Finding[] =>
    others.filter(uses).map((other) => ofObject(context, other, how));
  switch (object.type) {
    case 'ioas':
      return [
        ...users('is a page table of it', (other) => other.type === 'hwpt-paging' && other.ioas === id),
        ...users('is attached to it', (other) => other.type === 'access' && other.ioas === id),
      ];
    case 'hwpt-paging':
      return [
        ...attachments(context, id),
        ...users(
          'is nested on it',
          (other) => other.type === 'hwpt-nested' && other.parent === id && other.viommu === 0,
        ),
        ...users('translates through it', (other) => other.type === 'viommu' && other.hwpt === id),
      ];
    case 'hwpt-nested':
      return attachments(context, id);
    case 'device':
      return [plain('the driver that bound it'), ...attachmentsOf(context, id)];
    case 'access':
      return [accessOwner(context, id)];
    case 'fault':
      return [
        ...openFiles({ kernel }, context, id),
        ...users(
          'reports its faults to it',
          (other) => (other.type === 'hwpt-paging' || other.type === 'hwpt-nested') && other.fault === id,
        ),
      ];
    case 'veventq':
      return openFiles({ kernel }, context, id);
    case 'viommu':
      return [
        ...users(
          'is on it',
          (other) =>
            (other.type === 'vdevice' || other.type === 'veventq' || other.type === 'hw-queue') &&
            other.viommu === id,
        ),
        ...users('was allocated on it', (other) => other.type === 'hwpt-nested' && other.viommu === id),
        ...kernel.state.windows
          .filter((window) => window.context === context.id && window.viommu === id)
          .map(() => plain('a process has its window mapped')),
      ];
    case 'hw-queue':
      return users(
        'comes after it',
        (other) =>
          other.type === 'hw-queue' && other.viommu === object.viommu && other.index === object.index + 1,
      );
    case 'vdevice':
    case 'selftest':
      return [];
  }
}

function attachments(context: Context, hwpt: number): Finding[] {
  return Object.values(context.groups).flatMap(({ slots }) =>
    Object.entries(slots)
      .filter(([, slot]) => slot.hwpt === hwpt)
      .flatMap(([pasid, { devices }]) =>
        devices.map((device) => attachment(context, device, `is attached by its ${slotName(Number(pasid))}`)),
      ),
  );
}

function attachment(context: Context, device: number, how: string): Finding {
  const object = context.objects[device];
  return object === undefined ? plain(`device ${device} ${how}`) : ofObject(context, object, how);
}

/** The attachments of one device. */
export function attachmentsOf(context: Context, device: number): Finding[] {
  return Object.values(context.groups).flatMap(({ slots }) =>
    Object.entries(slots)
      .filter(([, slot]) => slot.devices.includes(device))
      .map(([pasid, { hwpt }]) =>
        attachment(context, hwpt, `has it attached by its ${slotName(Number(pasid))}`),
      ),
  );
}

function accessOwner(context: Context, id: number): Finding {
  const queue = Object.values(context.objects).find(
    (other) => other.type === 'hw-queue' && other.access === id,
  );
  if (queue !== undefined) return ofObject(context, queue, 'pins its pages by it');
  return plain('the driver that made it, until its descriptor is closed');
}

function openFiles({ kernel }: Pick<CallFacts, 'kernel'>, context: Context, object: number): Finding[] {
  const { files, processes } = kernel.state;
  return Object.values(files)
    .filter((file) => file.context === context.id && file.object === object)
    .map((file) => {
      const numbers = Object.values(processes).flatMap(({ pid, descriptors }) =>
        Object.entries(descriptors)
          .filter(([, id]) => id === file.id)
          .map(([fd]) => `${fd} of process ${pid}`),
      );
      return plain(`its open file, descriptor ${numbers.join(', ')}`);
    });
}
