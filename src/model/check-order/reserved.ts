import { firstAreaIn, NONE } from '../area-table.ts';
import { hitsRange, type IovaRange } from '../iova-space.ts';
import { spaceOf } from '../kernel.ts';
import type { DeviceRange } from '../machine.ts';
import { slotOf } from '../slots.ts';
import { type CallFacts, type Condition, fileIn } from './check.ts';
import { boundIn, ioasAttached, physicalIn, replaces } from './vfio-conditions.ts';

/** Ranges that devices reserve, against what is mapped or allowed where they are attached. */

/** IOMMU_RESV_DIRECT_RELAXABLE is not enforced. */
const RELAXABLE = 'direct-relaxable';

/** A reserved range of a device. */
export interface OwnedRange {
  /** Address of the device, or its path. */
  readonly device: string;
  readonly range: DeviceRange;
}

/** What the devices that an attach or replace moves reserve: a replace moves the whole group. */
export function rangesAttached(facts: CallFacts): readonly OwnedRange[] {
  const { machine, state } = facts.kernel;
  const own = physicalIn(facts);
  const bound = boundIn(facts);
  const context = Object.values(state.contexts).find(
    ({ objects }) => bound !== undefined && objects[bound.id] === bound,
  );
  const ids =
    replaces(facts) && bound !== undefined && context !== undefined
      ? (slotOf(context, bound, 0)?.devices ?? [])
      : [];
  const physical =
    ids.length === 0
      ? [own]
      : ids.map((id) => {
          const device = context!.objects[id];
          return device?.type === 'device' ? machine.devices[device.physical] : undefined;
        });
  return physical.flatMap((device) =>
    (device?.reserved ?? [])
      .filter(({ kind }) => kind !== RELAXABLE)
      .map((range) => ({ device: device!.bdf === '' ? device!.path : device!.bdf, range })),
  );
}

/** Whether an area or an allowed range of the IOAS lies in a range. */
export function isInUse(facts: CallFacts, range: IovaRange): boolean {
  const ioas = ioasAttached(facts);
  if (ioas === undefined) return false;
  const { areas, allowed } = spaceOf(facts.kernel, ioas);
  const { startPage, startOffset, lastPage, lastOffset } = range;
  return (
    firstAreaIn(areas, startPage, startOffset, lastPage, lastOffset) !== NONE ||
    hitsRange(allowed, startPage, startOffset, lastPage, lastOffset)
  );
}

/** A range that the device reserves is in the way, not the aperture of a new page table. */
export const deviceRangeInUse: Condition = (facts) =>
  fileIn(facts)?.kind !== 'iommufd' && rangesAttached(facts).some(({ range }) => isInUse(facts, range));
