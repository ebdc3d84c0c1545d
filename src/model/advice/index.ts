import { ACCESS_ADVICE } from './access.ts';
import type { Advice, AdviceTable } from './advice.ts';
import { COMMAND_ADVICE } from './commands.ts';
import { DEVICE_ADVICE } from './devices.ts';
import { DRIVER_ADVICE } from './drivers.ts';
import { MAPPING_ADVICE } from './mapping.ts';
import { PASID_ADVICE } from './pasid.ts';
import { PROPOSAL_ADVICE } from './proposal.ts';
import { PROPOSAL_MEMORY_ADVICE } from './proposal-memory.ts';
import { TYPE1_ADVICE } from './type1.ts';
import { VFIO_DEVICE_ADVICE } from './vfio-devices.ts';
import { VFIO_GROUP_ADVICE } from './vfio-groups.ts';
import { VFIO_PCI_ADVICE } from './vfio-pci.ts';
import { VIRTUAL_ADVICE } from './virtual.ts';

export type { Advice } from './advice.ts';

/** One table for each part of the API: a new reason gets its entry in the table of its part. */
const TABLES: readonly AdviceTable[] = [
  COMMAND_ADVICE,
  MAPPING_ADVICE,
  DEVICE_ADVICE,
  VIRTUAL_ADVICE,
  ACCESS_ADVICE,
  DRIVER_ADVICE,
  VFIO_DEVICE_ADVICE,
  VFIO_GROUP_ADVICE,
  VFIO_PCI_ADVICE,
  TYPE1_ADVICE,
  PASID_ADVICE,
  PROPOSAL_ADVICE,
  PROPOSAL_MEMORY_ADVICE,
];

/** Ids that have advice, in the order of the tables. */
export function advisedIds(): readonly string[] {
  return TABLES.flatMap((table) => Object.keys(table));
}

/** What usually leads to a refusal; null for a reason that nobody has written about yet. */
export function adviceOn(id: string): Advice | null {
  for (const table of TABLES) {
    const entry = table[id];
    if (entry !== undefined) return { cause: entry[0], cure: entry[1] };
  }
  return null;
}
