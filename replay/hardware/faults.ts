import type { WalkFault } from './page-table.ts';
import type { Access } from './table-format.ts';

/** What the hardware reports when it refuses an access: reason codes as the specifications number them. */
export interface HardwareFault {
  /** Fault reason (VT-d), event code (AMD) or cause (RISC-V). */
  readonly code: number;
  readonly name: string;
}

/** How the slot is translated, as far as faults depend on it. */
export interface FaultContext {
  readonly driver: string;
  /** VT-d in scalable mode. */
  readonly scalable: boolean;
  /** Name of the format of the table that was walked. */
  readonly format: string;
}

/** A walk of a page table that ended in a fault. */
export function walkFault(context: FaultContext, fault: WalkFault, access: Access): HardwareFault {
  switch (context.driver) {
    case 'vtd':
      return vtdFault(context, fault, access);
    case 'amd':
      return { code: 2, name: `IO_PAGE_FAULT (${amdDetail(fault, access)})` };
    case 'riscv':
      return access === 'w'
        ? { code: 15, name: 'write/AMO page fault' }
        : access === 'x'
          ? { code: 12, name: 'instruction page fault' }
          : { code: 13, name: 'read page fault' };
    default:
      return { code: 0, name: fault };
  }
}

/** DMA of a device whose slot is blocked. */
export function blockedFault({ driver, scalable }: FaultContext, access: Access): HardwareFault {
  switch (driver) {
    case 'vtd':
      return scalable
        ? { code: 0x59, name: 'SM: present bit in PASID table entry is clear' }
        : { code: 0x02, name: 'present bit in context entry is clear' };
    case 'amd':
      return { code: 2, name: `IO_PAGE_FAULT (${amdDetail('not-present', access)})` };
    case 'riscv':
      return { code: 258, name: 'DDT entry not valid' };
    default:
      return { code: 0, name: 'blocked' };
  }
}

function amdDetail(fault: WalkFault, access: Access): string {
  const present = fault === 'not-present' || fault === 'outside' ? 0 : 1;
  return `PR=${present} RW=${access === 'w' ? 1 : 0}`;
}

function vtdFault({ scalable, format }: FaultContext, fault: WalkFault, access: Access): HardwareFault {
  if (!scalable) {
    if (fault === 'outside') return { code: 0x04, name: 'access beyond MGAW' };
    return access === 'w'
      ? { code: 0x05, name: 'PTE write access is not set' }
      : { code: 0x06, name: 'PTE read access is not set' };
  }
  if (fault === 'outside') {
    return format === 'vtd-fs'
      ? { code: 0x80, name: 'SM: address in first-stage translation is not canonical' }
      : { code: 0x84, name: 'SM: address beyond what the second stage spans' };
  }
  if (fault === 'not-present' && format === 'vtd-fs')
    return { code: 0x71, name: 'SM: present bit in first-stage paging entry is clear' };
  return access === 'w'
    ? { code: 0x85, name: 'SM: no write permission for write or AtomicOp request' }
    : { code: 0x86, name: 'SM: no read permission for read or AtomicOp request' };
}
