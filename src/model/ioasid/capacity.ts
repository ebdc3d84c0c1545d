import type { Reason, Refusal } from '../reason.ts';
import { CAPACITY_ABOVE_TOTAL, CAPACITY_INSTALLED, CAPACITY_SHORT } from './reasons.ts';
import type { IoasidCore } from './state.ts';

/**
 * The system's numbers as an amount: what sets and cgroups reserve of it. Source: IOASID series V4, 04/18.
 */

/** `ioasid_install_capacity`: the IOMMU driver says how many numbers there are. Once. */
export function installCapacity(core: IoasidCore, total: number): Refusal {
  if (core.isInstalled || core.available !== core.capacity) return CAPACITY_INSTALLED;
  core.isInstalled = true;
  core.capacity = total;
  core.available = total;
  return null;
}

/** `ioasid_reserve_capacity`: 0 asks for all that is left. Answers how much was reserved. */
export function reserveCapacity(core: IoasidCore, amount: number): number | Reason {
  if (amount > core.available) return CAPACITY_SHORT;
  const reserved = amount === 0 ? core.available : amount;
  // Nothing left is not an amount: a set of quota 0 could never allocate.
  if (reserved === 0) return CAPACITY_SHORT;
  core.available -= reserved;
  return reserved;
}

/** `ioasid_cancel_capacity`: answers what is available then. */
export function cancelCapacity(core: IoasidCore, amount: number): number | Reason {
  if (core.available + amount > core.capacity) return CAPACITY_ABOVE_TOTAL;
  core.available += amount;
  return core.available;
}
