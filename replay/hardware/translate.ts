import { deviceEntry } from './device-entries.ts';
import type { DeviceSlot, HardwareDomain, HardwareIommu, HardwareView } from './domain.ts';
import { blockedFault, type FaultContext, walkFault } from './faults.ts';
import { type NestedSlot, translateNested } from './nested.ts';
import { streamOfState } from './smmu-expectation.ts';
import type { Access } from './table-format.ts';
import {
  faulted,
  levelSteps,
  type Outcome,
  paged,
  type Translation,
  type TranslationStep,
  unknown,
} from './translation.ts';

/**
 * The way of one access through the IOMMU: device entry, PASID entry, page tables, to the page or a fault.
 */

export interface TranslationRequest {
  readonly slot: DeviceSlot;
  readonly iova: bigint;
  readonly access: Access;
  /** Of the access, where it is not the slot's own: a guest may keep tables of PASIDs behind its RID. */
  readonly pasid?: number;
}

/** Translates accesses of one slot: what is the same for all is looked up once. */
export type Translator = (iova: bigint, access: Access) => Translation;

/** The slot of a device and PASID; null when nothing of it is known. */
export function findSlot(view: HardwareView, device: string, pasid: number): DeviceSlot | null {
  const isNamed = ({ bdf, path, device: index }: DeviceSlot): boolean =>
    [bdf, bdf.replace(/^0000:/, ''), path, path.slice(path.lastIndexOf('/') + 1), String(index)].includes(
      device,
    );
  const own = view.slots.find((slot) => slot.pasid === pasid && isNamed(slot));
  if (own !== undefined) return own;
  // A guest of an SMMU or an AMD IOMMU keeps the tables of its PASIDs itself, below its RID's.
  const rid = view.slots.find((slot) => slot.pasid === 0 && isNamed(slot));
  const keepsPasids = rid?.state.kind === 'nested' && iommuOf(view, rid)?.driver !== 'vtd';
  return keepsPasids ? rid : null;
}

export function translate(
  view: HardwareView,
  { slot, iova, access, pasid }: TranslationRequest,
): Translation {
  return createTranslator(view, slot, pasid)(iova, access);
}

/** `pasid`: see `TranslationRequest`. */
export function createTranslator(view: HardwareView, slot: DeviceSlot, pasid = slot.pasid): Translator {
  const { state } = slot;
  const domain =
    state.kind === 'paging' || state.kind === 'nested'
      ? (view.domains.find(({ key }) => key === state.domain) ?? null)
      : null;
  const context = faultContext(view, slot, domain);
  const entries = (): TranslationStep[] => entrySteps(view, slot);
  if (state.kind === 'kernel')
    return always(entries, () => unknown('the device is not in the hands of VFIO'));
  if (state.kind === 'blocked' || slot.written === false)
    return always(entries, (access) => faulted(blockedFault(context, access)));
  const iommu = iommuOf(view, slot);
  if (domain?.table == null || iommu === null)
    return always(entries, () => unknown('the format of the page table is unknown'));
  if (state.kind === 'nested')
    return throughBoth({ iommu, domain, data: state.data, pasid, context }, entries);
  return throughTable(domain, context, entries);
}

function always(steps: () => TranslationStep[], outcome: (access: Access) => Outcome): Translator {
  return (_iova, access) => ({ ...outcome(access), steps });
}

function throughTable(
  { table }: HardwareDomain,
  context: FaultContext,
  entries: () => TranslationStep[],
): Translator {
  if (table === null) throw new Error('a translation through no table');
  return (iova, access) => {
    const walk = table.walk(Number(iova >> 12n), access);
    const outcome =
      walk.fault === null
        ? paged(walk.frame!, iova, 2 ** walk.shift)
        : faulted(walkFault(context, walk.fault, access));
    const { physical, pageBytes, fault, why } = outcome;
    const steps = (): TranslationStep[] => [...entries(), ...levelSteps(walk)];
    return { outcome: outcome.outcome, physical, pageBytes, fault, why, steps };
  };
}

function throughBoth(slot: NestedSlot, entries: () => TranslationStep[]): Translator {
  return (iova, access) => {
    const way: TranslationStep[] = [];
    const outcome = translateNested(slot, iova, access, way);
    return { ...outcome, steps: () => [...entries(), ...way] };
  };
}

/** The entries of device and PASID that say how to translate, with their words where they are known. */
function entrySteps(view: HardwareView, slot: DeviceSlot): TranslationStep[] {
  const { bdf, pasid, state, written } = slot;
  const iommu = iommuOf(view, slot);
  const says = {
    kernel: "a domain of the kernel's own",
    blocked: 'blocked: no table',
    paging: written === false ? 'not written: the device has no PASIDs' : 'a page table',
    nested: "a guest's table over a page table",
  }[state.kind];
  if (iommu?.smmu != null) return streamSteps(view, slot, says, iommu);
  const word = deviceEntry(view, slot)?.words[0] ?? null;
  const isScalable = iommu?.driver === 'vtd' && iommu.scalable === true;
  if (!isScalable) {
    const at = pasid === 0 ? `device entry of ${bdf}` : `PASID entry ${pasid} of ${bdf}`;
    return [{ at, index: null, word, says }];
  }
  const device = {
    at: `device entry of ${bdf}`,
    index: null,
    word: null,
    says: 'a directory of PASID tables',
  };
  return [device, { at: `PASID entry ${pasid} of ${bdf}`, index: null, word, says }];
}

/** The stream table entry, and the kernel's own context descriptor behind it. */
function streamSteps(
  view: HardwareView,
  { bdf, pasid, state }: DeviceSlot,
  says: string,
  { smmu }: HardwareIommu,
): TranslationStep[] {
  const stream = smmu === null ? null : streamOfState(view, smmu, state);
  const entry = { at: `stream table entry of ${bdf}`, index: null, word: stream?.entry[0] ?? null, says };
  const context = stream?.context?.[0];
  if (context === undefined) return [entry];
  const name = pasid === 0 ? 'context descriptor' : `context descriptor ${pasid}`;
  return [entry, { at: `${name} of ${bdf}`, index: null, word: context, says: 'a page table' }];
}

function iommuOf(view: HardwareView, slot: DeviceSlot): HardwareIommu | null {
  return view.iommus.find(({ name }) => name === slot.iommu) ?? null;
}

function faultContext(view: HardwareView, slot: DeviceSlot, domain: HardwareDomain | null): FaultContext {
  const iommu = iommuOf(view, slot);
  const driver = domain?.driver ?? iommu?.driver ?? '';
  return { driver, scalable: iommu?.scalable ?? false, format: domain?.table?.format.name ?? '' };
}
