import { deviceEntry } from './device-entries.ts';
import type { DeviceSlot, HardwareDomain, HardwareView } from './domain.ts';
import { blockedFault, type FaultContext, type HardwareFault, walkFault } from './faults.ts';
import type { WalkResult } from './page-table.ts';
import { type Access, UNKNOWN_FRAME, type Word } from './table-format.ts';

/** The way of one access through the IOMMU: device entry, PASID entry, page table, to the page or a fault. */

export interface TranslationStep {
  /** `device entry`, `PASID entry`, `first stage root`, `level 4` … */
  readonly at: string;
  /** Index in the table of a level; null for entries of devices. */
  readonly index: number | null;
  /** Null where nothing is there, or nothing is known. */
  readonly word: Word | null;
  readonly says: string;
}

export interface Translation {
  readonly steps: readonly TranslationStep[];
  /** `page`, `fault`, or `unknown` where the trace does not tell. */
  readonly outcome: 'page' | 'fault' | 'unknown';
  /** Physical address; null when the frame is unknown. */
  readonly physical: bigint | null;
  readonly pageBytes: number;
  readonly fault: HardwareFault | null;
  /** Why the outcome or the address is unknown; empty otherwise. */
  readonly why: string;
}

export interface TranslationRequest {
  readonly slot: DeviceSlot;
  readonly iova: bigint;
  readonly access: Access;
}

const NOTHING = { physical: null, pageBytes: 0, fault: null, why: '' };

/** The slot of a device and PASID; null when nothing of it is known. */
export function findSlot(view: HardwareView, device: string, pasid: number): DeviceSlot | null {
  const isNamed = ({ bdf, path, device: index }: DeviceSlot): boolean =>
    [bdf, bdf.replace(/^0000:/, ''), path, path.slice(path.lastIndexOf('/') + 1), String(index)].includes(
      device,
    );
  return view.slots.find((slot) => slot.pasid === pasid && isNamed(slot)) ?? null;
}

export function translate(view: HardwareView, { slot, iova, access }: TranslationRequest): Translation {
  const { state } = slot;
  const entry = entryStep(view, slot);
  const context = faultContext(view, slot, null);
  switch (state.kind) {
    case 'kernel':
      return {
        steps: [entry],
        outcome: 'unknown',
        ...NOTHING,
        why: 'the device is not in the hands of VFIO',
      };
    case 'blocked': {
      const fault = blockedFault(context, access);
      return { steps: [entry], outcome: 'fault', ...NOTHING, fault };
    }
    case 'nested':
      return translateNested(view, slot, entry, state.data);
    case 'paging':
      if (slot.written === false)
        return { steps: [entry], outcome: 'fault', ...NOTHING, fault: blockedFault(context, access) };
      return throughTable(view, slot, entry, state.domain, iova, access);
  }
}

function throughTable(
  view: HardwareView,
  slot: DeviceSlot,
  entry: TranslationStep,
  key: number,
  iova: bigint,
  access: Access,
): Translation {
  const domain = view.domains.find((each) => each.key === key);
  if (domain?.table == null)
    return { steps: [entry], outcome: 'unknown', ...NOTHING, why: 'the format of the page table is unknown' };
  const walk = domain.table.walk(Number(iova >> 12n), access);
  const steps = [entry, ...levelSteps(walk)];
  const pageBytes = 2 ** walk.shift;
  if (walk.fault !== null) {
    const fault = walkFault(faultContext(view, slot, domain), walk.fault, access);
    return { steps, outcome: 'fault', ...NOTHING, fault };
  }
  if (walk.frame === null || walk.frame === UNKNOWN_FRAME) {
    const why = 'no pagemap note tells the physical page, nor the size of the leaf';
    return { steps, outcome: 'page', ...NOTHING, pageBytes, why };
  }
  const physical = BigInt(walk.frame) * 4096n + (iova & 4095n);
  return { steps, outcome: 'page', ...NOTHING, physical, pageBytes };
}

function levelSteps({ steps, shift, fault }: WalkResult): TranslationStep[] {
  return steps.map(({ level, index, word }, at) => {
    const isLast = at === steps.length - 1;
    const says = !isLast ? 'table' : word === null ? 'not present' : `leaf of ${2 ** (shift - 10)} KiB`;
    return {
      at: `level ${level}`,
      index,
      word,
      says: isLast && word !== null && fault ? `${says}: ${fault}` : says,
    };
  });
}

/** With the word of the entry that says how to translate, where it is known. */
function entryStep(view: HardwareView, slot: DeviceSlot): TranslationStep {
  const { bdf, pasid, state, written } = slot;
  const at = pasid === 0 ? `device entry of ${bdf}` : `PASID entry ${pasid} of ${bdf}`;
  const says = {
    kernel: "a domain of the kernel's own",
    blocked: 'blocked: no table',
    paging: written === false ? 'not written: the device has no PASIDs' : 'a page table',
    nested: "a guest's table over a page table",
  }[state.kind];
  return { at, index: null, word: deviceEntry(view, slot)?.words[0] ?? null, says };
}

const PGTBL_ADDR = 8;

/** The guest's first stage lies in guest memory: its root is an address of the second stage. */
function translateNested(
  view: HardwareView,
  slot: DeviceSlot,
  entry: TranslationStep,
  data: Uint8Array,
): Translation {
  const { state } = slot;
  if (state.kind !== 'nested') throw new Error('not a nested slot');
  const why = "the guest's table lies in guest memory, which the trace did not record";
  // The data of other drivers is an entry of the guest, which points to a context in guest memory first.
  if (driverOf(view, slot) !== 'vtd' || data.length < PGTBL_ADDR + 8)
    return { steps: [entry], outcome: 'unknown', ...NOTHING, why };
  const root = new DataView(data.buffer, data.byteOffset, data.byteLength).getBigUint64(PGTBL_ADDR, true);
  const rootStep = {
    at: 'first stage root',
    index: null,
    word: null,
    says: `at 0x${root.toString(16)} of the guest`,
  };
  const second = throughTable(view, slot, entry, state.domain, root, 'r');
  const steps = [entry, rootStep, ...second.steps.slice(1)];
  if (second.outcome === 'fault') return { ...second, steps };
  return { steps, outcome: 'unknown', ...NOTHING, why };
}

function driverOf(view: HardwareView, slot: DeviceSlot): string {
  return view.iommus.find(({ name }) => name === slot.iommu)?.driver ?? '';
}

function faultContext(view: HardwareView, slot: DeviceSlot, domain: HardwareDomain | null): FaultContext {
  const driver = domain?.driver ?? driverOf(view, slot);
  const scalable = view.iommus.find(({ name }) => name === slot.iommu)?.scalable ?? false;
  return { driver, scalable, format: domain?.table?.format.name ?? '' };
}
