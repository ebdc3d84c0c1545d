import {
  accessLifecycle,
  deviceLifecycle,
  faultQueueLifecycle,
  hwptNestedLifecycle,
  hwptPagingLifecycle,
  hwQueueLifecycle,
  ioasLifecycle,
  vdeviceLifecycle,
  veventqLifecycle,
  viommuLifecycle,
} from '../../machines/index.ts';
import { toBigInt } from './address.ts';
import type { IovaRange, ReservedRange } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import type { Access, Context, Device, Ioas, KernelObject, ObjectType, PagingDomain } from './state.ts';

/** Objects of the control state as a person asks about them: names, and what matters of each type. */

/** A fact: a number, a name, or a list of them. */
export type FactValue = number | boolean | string | readonly (number | string)[];

/** One object, in plain values. */
export interface ObjectFacts {
  readonly type: ObjectType;
  readonly id: number;
  /** Type and id in words, such as `IOAS 1`. */
  readonly label: string;
  readonly users: number;
  /** State of its lifecycle; null for a selftest object, which has none. */
  readonly state: string | null;
  readonly facts: Readonly<Record<string, FactValue>>;
}

const LABELS: Readonly<Record<ObjectType, string>> = {
  ioas: 'IOAS',
  'hwpt-paging': 'HWPT',
  'hwpt-nested': 'nested HWPT',
  device: 'device',
  access: 'access object',
  fault: 'fault queue',
  selftest: 'selftest device',
  viommu: 'vIOMMU',
  vdevice: 'vDEVICE',
  veventq: 'vEVENTQ',
  'hw-queue': 'HW queue',
};

const LIFECYCLES = {
  ioas: ioasLifecycle,
  'hwpt-paging': hwptPagingLifecycle,
  'hwpt-nested': hwptNestedLifecycle,
  device: deviceLifecycle,
  access: accessLifecycle,
  fault: faultQueueLifecycle,
  viommu: viommuLifecycle,
  vdevice: vdeviceLifecycle,
  veventq: veventqLifecycle,
  'hw-queue': hwQueueLifecycle,
} as const;

/** Type and id in words. */
export function objectLabel({ type, id }: { readonly type: ObjectType; readonly id: number }): string {
  return `${LABELS[type]} ${id}`;
}

/** Name of a state in the lifecycle of a type; null where the type has no lifecycle. */
export function stateName(type: ObjectType, state: number): string | null {
  if (type === 'selftest') return null;
  return LIFECYCLES[type].flat.states[state] ?? null;
}

/** An address in hex. */
export function hex(page: number, offset: number): string {
  return `0x${toBigInt(page, offset).toString(16)}`;
}

/** `0x1000-0x1fff`; the last address is inclusive. */
export function rangeText({ startPage, startOffset, lastPage, lastOffset }: IovaRange): string {
  return `${hex(startPage, startOffset)}-${hex(lastPage, lastOffset)}`;
}

/** A reserved range and who asked for it. */
export function reservedText(range: ReservedRange): string {
  return `${rangeText(range)} for ${ownerText(range.owner)}`;
}

/** `hwpt:4` in words; `test` is the selftest. */
function ownerText(owner: string): string {
  const [type, id] = owner.split(':');
  if (id === undefined) return 'the selftest';
  return `${type === 'hwpt' ? LABELS['hwpt-paging'] : type} ${id}`;
}

/** Name of an attachment slot: the device's own requester id, or a PASID. */
export function slotName(pasid: number): string {
  return pasid === 0 ? 'RID' : `PASID ${pasid}`;
}

/** The facts of one object; null when no object has that id. */
export function describeObject(kernel: Kernel, context: Context, id: number): ObjectFacts | null {
  const object = context.objects[id];
  if (object === undefined) return null;
  const { type, users, lifecycle } = object;
  const state = stateName(type, lifecycle);
  return { type, id, label: objectLabel(object), users, state, facts: factsOf(kernel, context, object) };
}

function factsOf(kernel: Kernel, context: Context, object: KernelObject): Record<string, FactValue> {
  switch (object.type) {
    case 'ioas':
      return factsOfIoas(kernel, object);
    case 'hwpt-paging': {
      const { id, ioas, auto, nestParent, pasidCompatible, fault, tracking } = object;
      const nested = idsOf(context, (o) => o.type === 'hwpt-nested' && o.parent === id && o.viommu === 0);
      const viommus = idsOf(context, (o) => o.type === 'viommu' && o.hwpt === id);
      return {
        ioas,
        auto,
        nestParent,
        ...(pasidCompatible ? { pasidCompatible } : {}),
        tracking,
        ...factsOfDomain(object.domain),
        ...ifSet({ fault }),
        ...(nestParent ? { nested, viommus } : {}),
        devices: devicesAt(context, id),
      };
    }
    case 'hwpt-nested': {
      const { parent, viommu, fault, pasidCompatible } = object;
      const flag = pasidCompatible ? { pasidCompatible } : {};
      return { parent, ...flag, ...ifSet({ viommu, fault }), devices: devicesAt(context, object.id) };
    }
    case 'device':
      return factsOfDevice(kernel, context, object);
    case 'access':
      return factsOfAccess(object);
    case 'fault':
      return {
        unread: object.deliver.length,
        unanswered: Object.keys(object.responses).map((cookie) => `cookie ${cookie}`),
        reportedBy: idsOf(context, (o) => 'fault' in o && o.fault === object.id),
      };
    case 'selftest':
      return { device: object.device };
    case 'viommu':
      return {
        parent: object.hwpt,
        nested: idsOf(context, (o) => o.type === 'hwpt-nested' && o.viommu === object.id),
        vdevices: Object.values(object.vdevices),
        veventqs: Object.values(object.veventqs),
        hwQueues: Object.values(object.hwQueues),
        ...(object.window === 0 ? {} : { window: hex(object.window, 0) }),
      };
    case 'vdevice': {
      const virtualId = hex(object.virtPage, object.virtOffset);
      return { viommu: object.viommu, device: object.device, virtualId };
    }
    case 'veventq':
      return {
        viommu: object.viommu,
        eventType: hex(0, object.eventType),
        depth: object.depth,
        unread: object.events.filter(({ data }) => data !== null).length,
        lost: object.events.at(-1)?.data === null,
      };
    case 'hw-queue':
      return { viommu: object.viommu, index: object.index, pinnedBy: object.access };
  }
}

function factsOfIoas(kernel: Kernel, ioas: Ioas): Record<string, FactValue> {
  return {
    areas: spaceOf(kernel, ioas).areas.count,
    alignmentBytes: ioas.alignment,
    pageTables: [...ioas.hwpts],
    accessObjects: Object.values(ioas.accesses),
    allowed: ioas.allowed.map(rangeText),
    reserved: ioas.reserved.map(reservedText),
  };
}

/** Of a real IOMMU: the mock one is the same for all page tables. */
function factsOfDomain({ driver, iommu, format, aperture }: PagingDomain): Record<string, FactValue> {
  if (driver === 'mock') return {};
  return { iommu, ...(format === '' ? {} : { format }), aperture: rangeText(aperture) };
}

function factsOfDevice(
  { machine }: Kernel,
  context: Context,
  { id, group, vdevice, physical }: Device,
): Record<string, FactValue> {
  const known = machine.devices[physical];
  const hardware =
    known === undefined
      ? {}
      : {
          address: known.bdf === '' ? known.path : known.bdf,
          driver: known.iommu.driver,
          iommu: known.iommu.name,
        };
  const slots = Object.entries(context.groups[group]?.slots ?? {});
  const attached = slots
    .filter(([, { devices }]) => devices.includes(id))
    .map(([pasid, { hwpt }]) => `${slotName(Number(pasid))} to HWPT ${hwpt}`);
  return { ...hardware, group, attached, ...(vdevice === 0 ? {} : { vdevice }) };
}

function factsOfAccess({ ioas, pinning, internal, items }: Access): Record<string, FactValue> {
  const pins = items.map(({ id, iovaPage, iovaOffset, length }) => {
    return `${id}: ${length} bytes at ${hex(iovaPage, iovaOffset)}`;
  });
  return { ioas: ioas === 0 ? 'none' : ioas, pinning, ...(internal ? { internal } : {}), pins };
}

/** Ids of the objects that match, ascending. */
function idsOf(context: Context, matches: (object: KernelObject) => boolean): number[] {
  return Object.values(context.objects)
    .filter(matches)
    .map(({ id }) => id);
}

/** The references that are not 0, which stands for none. */
function ifSet(references: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(references).filter(([, id]) => id !== 0));
}

/** Devices attached to a page table, by their RID or a PASID. */
function devicesAt(context: Context, hwpt: number): (number | string)[] {
  return Object.values(context.groups).flatMap(({ slots }) =>
    Object.entries(slots)
      .filter(([, slot]) => slot.hwpt === hwpt)
      .flatMap(([pasid, { devices }]) =>
        devices.map((device) => (pasid === '0' ? device : `${device} by ${slotName(Number(pasid))}`)),
      ),
  );
}
