import type { Reason } from '../reason.ts';
import { PASID_COUNT, RESERVED_PASID } from './names.ts';
import { VCMD_NO_PASID, VCMD_RANGE } from './reasons.ts';

/**
 * The VT-d virtual command interface: a guest asks its hypervisor for PASIDs through three registers of the
 * emulated IOMMU. Source: "iommu/vt-d: Enlightened PASID allocation", V12 of 2020-04-21.
 */

/** Offsets of the registers in the IOMMU's page. */
export const VCMD_REGISTER = { capability: 0xe30, command: 0xe00, response: 0xe10 } as const;
export const VCMD_COMMAND = { ALLOC: 1, FREE: 2 } as const;
/** Where FREE has its PASID in the command, and ALLOC its PASID in the response. */
const OPERAND_SHIFT = 8;
const PASID_MASK = PASID_COUNT - 1;
/** Bit 0 of the response: in progress. Bits 2:1: status. */
const STATUS_SHIFT = 1;
const STATUS_MASK = 3;
export const VCMD_STATUS = { SUCCESS: 0, NO_PASID: 1, INVALID_PASID: 1 } as const;

/** The command word for FREE of a PASID, or for ALLOC. */
export function encodeCommand(command: keyof typeof VCMD_COMMAND, pasid = 0): number {
  return VCMD_COMMAND[command] | (pasid << OPERAND_SHIFT);
}

/** What the response register says. */
export interface VcmdResponse {
  readonly isInProgress: boolean;
  readonly status: number;
  readonly pasid: number;
}

export function decodeResponse(word: number): VcmdResponse {
  return {
    isInProgress: (word & 1) === 1,
    status: (word >>> STATUS_SHIFT) & STATUS_MASK,
    pasid: (word >>> OPERAND_SHIFT) & PASID_MASK,
  };
}

/** An emulated IOMMU as its guest sees it, and what its hypervisor has given out. */
export interface VcmdUnit {
  /** PASIDs that the IOMMU can do, inclusive. */
  readonly min: number;
  readonly max: number;
  readonly given: number[];
}

/**
 * The hypervisor's side: a write to the command register. Answers the response register once the command is
 * no longer in progress. The hypervisor gives the lowest number that it has not given.
 */
export function runCommand({ min, max, given }: VcmdUnit, command: number): number {
  const pasid = (command >>> OPERAND_SHIFT) & PASID_MASK;
  if ((command & 0xff) === VCMD_COMMAND.FREE) {
    const at = given.indexOf(pasid);
    if (at < 0) return VCMD_STATUS.INVALID_PASID << STATUS_SHIFT;
    given.splice(at, 1);
    return VCMD_STATUS.SUCCESS;
  }
  let free = Math.max(min, RESERVED_PASID + 1);
  while (given.includes(free)) free += 1;
  if (free > max) return VCMD_STATUS.NO_PASID << STATUS_SHIFT;
  given.push(free);
  return (VCMD_STATUS.SUCCESS << STATUS_SHIFT) | (free << OPERAND_SHIFT);
}

/** `intel_vcmd_ioasid_alloc`: the guest's side of ALLOC. The hypervisor is not told of a range. */
export function vcmdAlloc(unit: VcmdUnit, min: number, max: number): number | Reason {
  if (min < unit.min || max > unit.max) return VCMD_RANGE;
  const response = decodeResponse(runCommand(unit, encodeCommand('ALLOC')));
  return response.status === VCMD_STATUS.SUCCESS ? response.pasid : VCMD_NO_PASID;
}

/** `intel_vcmd_ioasid_free`: whether the hypervisor took it back. */
export function vcmdFree(unit: VcmdUnit, pasid: number): boolean {
  return decodeResponse(runCommand(unit, encodeCommand('FREE', pasid))).status === VCMD_STATUS.SUCCESS;
}
