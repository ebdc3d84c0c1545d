import { findGcr3 } from './amd-guest.ts';
import type { DeviceSlot, HardwareDomain, HardwareIommu } from './domain.ts';
import { type FaultContext, firstStageFault, nestedEntryFault, smmuEvent, walkFault } from './faults.ts';
import { armRules, type FirstStageRules, type SecondStage, walkFirstStage, x86Rules } from './first-stage.ts';
import { guestX86 } from './formats/index.ts';
import { findContext } from './smmu-guest-context.ts';
import { guestConfig, guestEntry } from './smmu-stream-table.ts';
import type { Access } from './table-format.ts';
import { faulted, levelSteps, type Outcome, paged, type TranslationStep, unknown } from './translation.ts';

/** Accesses of a device whose slot holds a guest's own table over a page table of the host. */

export interface NestedSlot {
  readonly iommu: HardwareIommu;
  readonly domain: HardwareDomain;
  /** Driver data of the nested HWPT. */
  readonly data: Uint8Array;
  /** PASID of the access, for guests that keep tables of PASIDs themselves. */
  readonly pasid: number;
  readonly context: FaultContext;
}

/** Where a guest's first stage begins: its top table and format, or what came instead. */
export type GuestRoot =
  | { readonly root: bigint; readonly rules: FirstStageRules }
  /** No first stage: the address goes to the second one as it is. */
  | 'bypass'
  | { readonly outcome: Outcome };

export function isNested(slot: DeviceSlot): boolean {
  return slot.state.kind === 'nested';
}

/** Translates through both stages; appends the way to `steps`. */
export function translateNested(
  slot: NestedSlot,
  iova: bigint,
  access: Access,
  steps: TranslationStep[],
): Outcome {
  const { domain, context } = slot;
  if (domain.table === null) return unknown('the format of the page table is unknown');
  const below: SecondStage = { table: domain.table, memory: domain.memory };
  const root = rootOf(slot, below, steps);
  if (root === 'bypass') return secondStage(slot, below, iova, access, 0, steps);
  if ('outcome' in root) return root.outcome;
  const result = walkFirstStage(below, root.rules, root.root, iova, access, steps);
  switch (result.kind) {
    case 'missing':
      return missing(result.ipa);
    case 'fault':
      return faulted(firstStageFault(context, result.fault, access));
    case 'second-stage':
      return faulted(nestedEntryFault(context, result.fault, result.isTop));
    case 'ipa':
      return secondStage(slot, below, result.ipa, access, result.shift, steps);
  }
}

/** What the second stage makes of an address; one translation covers no more than both stages' pages do. */
function secondStage(
  { context }: NestedSlot,
  { table }: SecondStage,
  ipa: bigint,
  access: Access,
  firstShift: number,
  steps: TranslationStep[],
): Outcome {
  const walk = table.walk(Number(ipa >> 12n), access);
  steps.push(...levelSteps(walk, `second stage of 0x${ipa.toString(16)}, `));
  if (walk.fault !== null) return faulted(walkFault(context, walk.fault, access));
  const shift = firstShift === 0 ? walk.shift : Math.min(firstShift, walk.shift);
  return paged(walk.frame!, ipa, 2 ** shift);
}

export function missing(ipa: bigint): Outcome {
  return unknown(`the trace does not hold 0x${ipa.toString(16)} of the guest's memory`);
}

function rootOf(slot: NestedSlot, below: SecondStage, steps: TranslationStep[]): GuestRoot {
  switch (slot.iommu.driver) {
    case 'vtd':
      return vtdRoot(slot.data, steps);
    case 'amd':
      return amdRoot(slot, below, steps);
    case 'smmuv3':
      return smmuRoot(slot, below, steps);
    default:
      return { outcome: unknown(`nothing is known of nested tables of ${slot.iommu.driver}`) };
  }
}

/** `struct iommu_hwpt_vtd_s1`: flags, address of the top table, address width. */
function vtdRoot(data: Uint8Array, steps: TranslationStep[]): GuestRoot {
  if (data.length < 20) return { outcome: unknown("the driver data of the guest's table is too short") };
  const fields = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const root = fields.getBigUint64(8, true);
  const levels = fields.getUint32(16, true) === 57 ? 5 : 4;
  steps.push({
    at: 'first stage root',
    index: null,
    word: null,
    says: `at 0x${root.toString(16)} of the guest`,
  });
  return { root, rules: x86Rules(guestX86(levels), levels) };
}

/** The guest's device table entry names a table of GCR3s, one for each PASID. */
function amdRoot(
  { data, pasid, context }: NestedSlot,
  below: SecondStage,
  steps: TranslationStep[],
): GuestRoot {
  const found = findGcr3(below, data, pasid, steps);
  switch (found.kind) {
    case 'bypass':
      return 'bypass';
    case 'missing':
      return { outcome: missing(found.ipa) };
    case 'second-stage':
      return { outcome: faulted(nestedEntryFault(context, found.fault, true)) };
    case 'invalid':
      return { outcome: faulted(firstStageFault(context, 'not-present', 'r')) };
    case 'root':
      return { root: found.root, rules: x86Rules(guestX86(found.levels), found.levels) };
  }
}

/** The guest's stream table entry names a context descriptor, or a table of them. */
function smmuRoot(
  { data, pasid, iommu }: NestedSlot,
  below: SecondStage,
  steps: TranslationStep[],
): GuestRoot {
  const guest = guestEntry(data);
  const config = guestConfig(guest);
  if (config === 'bypass') return 'bypass';
  if (config === 'abort')
    return {
      outcome: faulted({ code: 0, name: "aborted by the guest's stream table entry: no event is recorded" }),
    };
  const found = findContext(below, guest, pasid, iommu.outputBits, steps);
  switch (found.kind) {
    case 'bypass':
      return 'bypass';
    case 'missing':
      return { outcome: missing(found.ipa) };
    case 'second-stage': {
      const event =
        found.fault === 'not-present' || found.fault === 'outside' ? 'F_TRANSLATION' : 'F_PERMISSION';
      return { outcome: faulted(smmuEvent(event, 'stage 2, at the context descriptor')) };
    }
    case 'event':
      return { outcome: faulted(smmuEvent(found.event)) };
    case 'context': {
      const { format, inputBits, setsAccessFlag, tableBase } = found;
      return { root: tableBase, rules: armRules(format, inputBits, setsAccessFlag) };
    }
  }
}
