import { DEVICE_REMEDIES } from './devices.ts';
import { DRIVER_REMEDIES } from './drivers.ts';
import type { Explain, Refused, Remedy } from './finding.ts';
import { BUFFER_REMEDIES, MEMORY_REMEDIES } from './memory.ts';
import { OBJECT_REMEDIES } from './objects.ts';
import { QUEUE_REMEDIES } from './queues.ts';
import { RANGE_REMEDIES } from './ranges.ts';
import { STRUCT_REMEDIES } from './structs.ts';
import { TYPE1_REMEDIES } from './type1.ts';
import { UNMAP_REMEDIES } from './unmaps.ts';
import { VFIO_REMEDIES } from './vfio.ts';

export type { Finding, Origin, Refused, Remedy } from './finding.ts';
export { holdersOf } from './holders.ts';

/**
 * What the state says about a refusal, and what would have been let pass: derived from the state, never
 * guessed. Control state is that of before the call. Areas are looked up afterwards: a refused call leaves
 * those that made it fail where they were, and only unmapping removes or cuts others.
 */

const IN_CONTEXT: Readonly<Record<string, Explain>> = {
  ...OBJECT_REMEDIES,
  ...RANGE_REMEDIES,
  ...UNMAP_REMEDIES,
  ...MEMORY_REMEDIES,
  ...DEVICE_REMEDIES,
  ...DRIVER_REMEDIES,
  ...QUEUE_REMEDIES,
};

/** Of calls that may have no context: containers and groups, and structs and buffers as such. */
const WITHOUT_CONTEXT: Readonly<Record<string, (refused: Refused) => Remedy | null>> = {
  ...STRUCT_REMEDIES,
  ...BUFFER_REMEDIES,
  ...VFIO_REMEDIES,
  ...TYPE1_REMEDIES,
};

/** Ids of the reasons that the state says something about. */
export function remediedIds(): readonly string[] {
  return [...Object.keys(IN_CONTEXT), ...Object.keys(WITHOUT_CONTEXT)];
}

/** Null when the state says no more than the reason itself. */
export function findRemedy(id: string, refused: Refused): Remedy | null {
  const { context } = refused;
  const found = WITHOUT_CONTEXT[id]?.(refused) ?? null;
  if (found !== null || context === null) return found;
  return IN_CONTEXT[id]?.({ ...refused, context }) ?? null;
}
