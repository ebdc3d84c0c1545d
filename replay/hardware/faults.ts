import type { WalkFault } from './page-table.ts';
import type { Access } from './table-format.ts';

/**
 * What the hardware reports when it refuses an access: reason codes as the specifications number them (VT-d:
 * "Fault Reason Encodings", which dma_remap_fault_reasons of intel/dmar.c lists too; SMMUv3: event records;
 * AMD: event codes; RISC-V: causes).
 */
export interface HardwareFault {
  /** Fault reason (VT-d), event code (AMD, SMMUv3) or cause (RISC-V); 0 where nothing is recorded. */
  readonly code: number;
  readonly name: string;
  /** Code that QEMU's emulation reports, where it is another one. */
  readonly emulated?: number;
}

/** Why a walk of a guest's own tables ended. */
export type FirstStageFault =
  | 'not-canonical'
  | 'not-present'
  | 'reserved'
  | 'supervisor'
  | 'access-flag'
  | 'not-readable'
  | 'not-writable';

/** How the slot is translated, as far as faults depend on it. */
export interface FaultContext {
  readonly driver: string;
  /** VT-d in scalable mode. */
  readonly scalable: boolean;
  /** Name of the format of the table that was walked. */
  readonly format: string;
}

/** A walk of the kernel's own page table that ended in a fault. */
export function walkFault(context: FaultContext, fault: WalkFault, access: Access): HardwareFault {
  switch (context.driver) {
    case 'vtd':
      return vtdFault(context, fault, access);
    case 'amd':
      return { code: 2, name: `IO_PAGE_FAULT (${amdDetail(isPresent(fault), access)})` };
    case 'riscv':
      return access === 'w'
        ? { code: 15, name: 'write/AMO page fault' }
        : access === 'x'
          ? { code: 12, name: 'instruction page fault' }
          : { code: 13, name: 'read page fault' };
    case 'smmuv3':
      return smmuEvent(isPresent(fault) ? 'F_PERMISSION' : 'F_TRANSLATION', stageOf(context));
    default:
      return { code: 0, name: fault };
  }
}

/** DMA of a device whose slot is blocked. */
export function blockedFault({ driver, scalable }: FaultContext, access: Access): HardwareFault {
  switch (driver) {
    case 'vtd':
      return scalable
        ? { code: 0x59, name: 'SM: present bit in PASID table entry is clear', emulated: 0x58 }
        : { code: 0x02, name: 'present bit in context entry is clear' };
    case 'amd':
      return { code: 2, name: `IO_PAGE_FAULT (${amdDetail(false, access)})` };
    case 'riscv':
      return { code: 258, name: 'DDT entry not valid' };
    case 'smmuv3':
      return { code: 0, name: 'aborted by the stream table entry: no event is recorded' };
    default:
      return { code: 0, name: 'blocked' };
  }
}

/** A walk of a guest's own tables that ended in one of them. */
export function firstStageFault(
  { driver }: FaultContext,
  fault: FirstStageFault,
  access: Access,
): HardwareFault {
  switch (driver) {
    case 'vtd':
      return VTD_FIRST_STAGE[fault];
    case 'smmuv3':
      return smmuEvent(SMMU_FIRST_STAGE[fault], 'stage 1');
    case 'amd': {
      const present = fault !== 'not-present' && fault !== 'not-canonical';
      return { code: 2, name: `IO_PAGE_FAULT (GN=1 ${amdDetail(present, access)})` };
    }
    default:
      return { code: 0, name: fault };
  }
}

/** The second stage refused the walk one of a guest's entries. */
export function nestedEntryFault({ driver }: FaultContext, fault: WalkFault, isTop: boolean): HardwareFault {
  switch (driver) {
    case 'vtd':
      if (fault === 'outside')
        return { code: 0x74, name: 'SM: first-stage entry address beyond MGAW in nested translation' };
      if (fault === 'not-writable')
        return { code: 0x77, name: 'SM: no write permission for a first-stage entry in nested translation' };
      return isTop
        ? { code: 0x75, name: 'SM: no read permission for the top first-stage table in nested translation' }
        : { code: 0x76, name: 'SM: no read permission for a first-stage entry in nested translation' };
    case 'smmuv3':
      return smmuEvent(isPresent(fault) ? 'F_PERMISSION' : 'F_TRANSLATION', 'stage 2, at a table of stage 1');
    case 'amd':
      return { code: 2, name: `IO_PAGE_FAULT (at a guest table, ${amdDetail(isPresent(fault), 'r')})` };
    default:
      return { code: 0, name: fault };
  }
}

export type SmmuEventName = keyof typeof SMMU_EVENTS;

/** Event records of the SMMUv3 specification, "Event records" (7.3). */
const SMMU_EVENTS = {
  F_STREAM_DISABLED: 0x06,
  C_BAD_SUBSTREAMID: 0x08,
  C_BAD_CD: 0x0a,
  F_TRANSLATION: 0x10,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
} as const;

export function smmuEvent(event: SmmuEventName, detail = ''): HardwareFault {
  return { code: SMMU_EVENTS[event], name: detail === '' ? event : `${event} (${detail})` };
}

function stageOf({ format }: FaultContext): string {
  return format.startsWith('smmu-s2') ? 'stage 2' : 'stage 1';
}

const SMMU_FIRST_STAGE: Readonly<Record<FirstStageFault, SmmuEventName>> = {
  'not-canonical': 'F_TRANSLATION',
  'not-present': 'F_TRANSLATION',
  reserved: 'F_TRANSLATION',
  supervisor: 'F_PERMISSION',
  'access-flag': 'F_ACCESS',
  'not-readable': 'F_PERMISSION',
  'not-writable': 'F_PERMISSION',
};

function isPresent(fault: WalkFault): boolean {
  return fault !== 'not-present' && fault !== 'outside';
}

function amdDetail(present: boolean, access: Access): string {
  return `PR=${present ? 1 : 0} RW=${access === 'w' ? 1 : 0}`;
}

const NO_WRITE: HardwareFault = { code: 0x85, name: 'SM: no write permission for write or AtomicOp request' };
const NO_READ: HardwareFault = { code: 0x86, name: 'SM: no read permission for read or AtomicOp request' };

const VTD_FIRST_STAGE: Readonly<Record<FirstStageFault, HardwareFault>> = {
  'not-canonical': { code: 0x80, name: 'SM: address in first-stage translation is not canonical' },
  'not-present': { code: 0x71, name: 'SM: present bit in first-stage paging entry is clear' },
  reserved: { code: 0x72, name: 'SM: non-zero reserved field in first-stage paging entry' },
  supervisor: { code: 0x81, name: 'SM: user access to a supervisor page of the first stage' },
  'access-flag': { code: 0x91, name: 'SM: first-stage entry could not be marked as used' },
  'not-readable': NO_READ,
  'not-writable': NO_WRITE,
};

/** The emulation keeps the codes of legacy mode for the second stage. */
const SECOND_STAGE = {
  outside: { code: 0x84, name: 'SM: address beyond what the second stage spans', emulated: 0x04 },
  write: { ...NO_WRITE, emulated: 0x05 },
  read: { ...NO_READ, emulated: 0x06 },
} as const satisfies Record<string, HardwareFault>;

const LEGACY = {
  outside: { code: 0x04, name: 'access beyond MGAW' },
  write: { code: 0x05, name: 'PTE write access is not set' },
  read: { code: 0x06, name: 'PTE read access is not set' },
} as const satisfies Record<string, HardwareFault>;

function vtdFault({ scalable, format }: FaultContext, fault: WalkFault, access: Access): HardwareFault {
  const kind = access === 'w' ? 'write' : 'read';
  if (scalable && format === 'vtd-fs') {
    if (fault === 'outside') return VTD_FIRST_STAGE['not-canonical'];
    if (fault === 'not-present') return VTD_FIRST_STAGE['not-present'];
    return access === 'w' ? NO_WRITE : NO_READ;
  }
  return (scalable ? SECOND_STAGE : LEGACY)[fault === 'outside' ? 'outside' : kind];
}
