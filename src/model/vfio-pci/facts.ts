/**
 * What is known of one PCI device beyond the rules of its driver: facts of the hardware, given or learned
 * from recorded replies. Plain JSON, part of the control state. Null: not known yet.
 */
export interface PciFacts {
  /** `0000:01:00.0`. */
  address: string | null;
  /** A function reset works: it was tried when the device was opened. */
  resets: boolean | null;
  /** Errno with which VFIO_DEVICE_RESET ends where a reset works; 0 unless a reply said otherwise. */
  resetErrno: number;
  /** Capabilities that GET_INFO answers. */
  caps: CapChain | null;
  /** There are at least so many regions: the fixed nine, and those seen beyond. */
  regionsAtLeast: number;
  /** There are at most so many. */
  regionsAtMost: number | null;
  /** The device is a VGA controller whose legacy ranges are accessible. */
  vga: boolean | null;
  /** By region index. */
  regions: Record<string, RegionFacts>;
  /** By interrupt index, five. */
  irqs: IrqFacts[];
  /** The device is PCI Express: only then Linux 6.12 has its error interrupt. */
  express: boolean | null;
  /** MSI-X vectors can be added while MSI-X is in use. */
  dynamicMsix: boolean | null;
  /** Errno with which switching INTx on ends, 0 when it works. */
  intxErrno: number | null;
  /** Where the MSI-X table lies; null also for a device without. */
  msixTable: MsixTable | null;
  /** The device has no ROM: reads of it are refused at any offset. */
  romAbsent: boolean | null;
  /** The device makes virtual functions and asks for a token. */
  vfToken: boolean | null;
  /** The platform lets the BARs be exported as dma-bufs. */
  exportsDmabuf: boolean | null;
  /** Where in config space the power state is written; 0 when the device has no power management. */
  powerAt: number | null;
  /** Slot or bus of the device can be reset. */
  busResets: boolean | null;
  /** Functions that such a reset hits. */
  dependentCount: number | null;
  dependents: DependentFunction[] | null;
  /** Errno with which a hot reset ends when the caller owns all it hits. */
  hotResetErrno: number | null;
}

/** A chain of capabilities as written behind the struct. */
export interface CapChain {
  bytes: number;
  /** Its content in hex, with the offsets of the chain; null while only its length is known. */
  content: string | null;
}

export interface RegionFacts {
  sizeBytes: number;
  /** Without CAPS. */
  flags: number;
  caps: CapChain;
}

export interface MsixTable {
  bar: number;
  /** Offset in the BAR. */
  at: number;
  bytes: number;
}

export interface IrqFacts {
  count: number | null;
  /** Calls showed that there are at least so many. */
  atLeast: number;
  /** So many vectors were allocated at once. */
  allocated: number;
  /** The platform gives so many at once and no more. */
  limit: number | null;
}

export interface DependentFunction {
  address: string;
  segment: number;
  bus: number;
  devfn: number;
  /** Number of its IOMMU group, from the replies on group descriptors. */
  group: number | null;
}

/** Regions and interrupts that every vfio-pci device has: vfio.h. */
export const FIXED_REGIONS = 9;
export const IRQ_INDEXES = 5;
export const REGION = { BAR0: 0, BAR5: 5, ROM: 6, CONFIG: 7, VGA: 8 } as const;
export const IRQ = { INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4 } as const;

/** The most that the PCI capabilities can hold: INTx has one pin, MSI 32 and MSI-X 2048 vectors. */
export const MOST_IRQS: readonly number[] = [1, 32, 2048, 1, 1];

/** Region index is the file offset shifted by this: VFIO_PCI_OFFSET_SHIFT. */
export const REGION_SHIFT = 40n;

export function createPciFacts(address: string | null = null): PciFacts {
  const irqs = MOST_IRQS.map((): IrqFacts => ({ count: null, atLeast: 0, allocated: 0, limit: null }));
  irqs[IRQ.REQ]!.count = 1;
  return {
    address,
    resets: null,
    resetErrno: 0,
    caps: null,
    regionsAtLeast: FIXED_REGIONS,
    regionsAtMost: null,
    vga: null,
    regions: {},
    irqs,
    express: null,
    dynamicMsix: null,
    intxErrno: null,
    msixTable: null,
    romAbsent: null,
    vfToken: null,
    exportsDmabuf: null,
    powerAt: null,
    busResets: null,
    dependentCount: null,
    dependents: null,
    hotResetErrno: null,
  };
}

/** Whether a region index exists; null when that is not known. */
export function hasRegion(facts: PciFacts, index: number): boolean | null {
  if (index < facts.regionsAtLeast) return true;
  return facts.regionsAtMost !== null && index >= facts.regionsAtMost ? false : null;
}
