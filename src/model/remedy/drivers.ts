import { PROT_WRITE } from '../area-table.ts';
import { numberIn, objectIn } from '../check-order/check.ts';
import { attachTarget, boundIn, physicalIn } from '../check-order/vfio-conditions.ts';
import { deviceName } from '../drivers/facts.ts';
import { spaceOf } from '../kernel.ts';
import type { Iommu, PhysicalDevice } from '../machine.ts';
import { objectLabel, rangeText, slotName } from '../object-facts.ts';
import { groupOf, RID } from '../slots.ts';
import type { HwptPaging, KernelObject } from '../state.ts';
import { findBuffer } from '../user-call.ts';
import {
  type Explain,
  type Finding,
  hex,
  listed,
  ofArea,
  ofObject,
  plain,
  remedy,
  slotsOf,
} from './finding.ts';
import { type InContext, targetOf } from './target.ts';

/** Which fact of the hardware an IOMMU driver refuses for. */

/** The device that the call attaches or makes something for. */
function physicalOf(refused: InContext): PhysicalDevice | undefined {
  const own = physicalIn(refused);
  return own ?? refused.kernel.machine.devices[boundIn(refused)?.physical ?? -1];
}

function behind(device: PhysicalDevice): Finding {
  return plain(`${deviceName(device)} is behind ${device.iommu.name}`);
}

/** Facts that the topology states of an IOMMU, those named. */
function stated({ name, stated: facts }: Iommu, keys: readonly string[]): Finding[] {
  return keys
    .filter((key) => facts[key] !== undefined)
    .map((key) => plain(`${key.replaceAll('_', ' ')} of ${name}: ${facts[key] ? 'yes' : 'no'}`));
}

/** A bit of the registers in GET_HW_INFO, by what it stands for: at which byte they are, which bit. */
type RegisterBits = Readonly<Record<string, readonly [at: number, bit: number]>>;

/** ECAP of VT-d. */
const VTD_BITS: RegisterBits = {
  'nesting (ECAP.NEST)': [16, 26],
  'scalable mode (ECAP.SMTS)': [16, 43],
  'dirty tracking (ECAP.SSADS)': [16, 45],
  'second stage (ECAP.SSTS)': [16, 46],
};
/** IDR0 of SMMUv3. */
const SMMU_BITS: RegisterBits = { 'stage 2 (IDR0.S2P)': [8, 0], 'stage 1 (IDR0.S1P)': [8, 1] };
/** The extended feature registers of AMD. */
const AMD_BITS: RegisterBits = {
  'guest tables (EFR.GTSup)': [0, 4],
  'dirty tracking (EFR.HDSup)': [0, 52],
};

function registers(refused: InContext, { name, hwInfo }: Iommu, bits: RegisterBits): Finding[] {
  const learned = refused.kernel.state.learned[name]?.hwInfo;
  const bytes = hwInfo?.bytes ?? (learned === undefined ? null : Buffer.from(learned, 'hex'));
  if (bytes === null) return [];
  return Object.entries(bits).map(([what, [at, bit]]) => {
    const isSet = ((bytes[at + (bit >> 3)] ?? 0) >> (bit & 7)) % 2 === 1;
    return plain(`${what} of ${name}: ${isSet ? 'yes' : 'no'}`);
  });
}

/** What the unit or SMMU has of the things that flags may ask for. */
const missing =
  (bits: RegisterBits, ...keys: readonly string[]): Explain =>
  (refused) => {
    const device = physicalOf(refused);
    if (device === undefined) return null;
    const { iommu } = device;
    return remedy([behind(device), ...stated(iommu, keys), ...registers(refused, iommu, bits)]);
  };

/** IOMMU that a page table or vIOMMU was made for; null for what has none. */
function iommuOf(refused: InContext, object: KernelObject | undefined): string | null {
  if (object?.type === 'viommu') return object.iommu;
  if (object?.type === 'hwpt-paging') return object.domain.iommu;
  if (object?.type !== 'hwpt-nested') return null;
  return iommuOf(refused, refused.context.objects[object.viommu === 0 ? object.parent : object.viommu]);
}

/** A page table, nest parent or vIOMMU is of one IOMMU, the device behind another. */
const otherIommu =
  (...fields: readonly string[]): Explain =>
  (refused) => {
    const device = physicalOf(refused);
    const object =
      attachTarget(refused) ??
      fields.map((field) => objectIn(refused, field)).find((each) => each !== undefined);
    const iommu = iommuOf(refused, object);
    if (device === undefined || object === undefined || iommu === null) return null;
    return remedy(
      [ofObject(refused.context, object, `was made for ${iommu}`), behind(device)],
      `for what is made by a device behind ${device.iommu.name}`,
    );
  };

/** The facts that decide whether a page table fits another unit of VT-d. */
const vtdIncompatible: Explain = (refused) => {
  const device = physicalOf(refused);
  const target = attachTarget(refused);
  const hwpt = target?.type === 'hwpt-nested' ? refused.context.objects[target.parent] : target;
  if (device === undefined || hwpt?.type !== 'hwpt-paging') return null;
  const facts = stated(device.iommu, ['enforce_cache_coherency', 'dirty_tracking', 'scalable_mode']);
  return remedy(
    [ofObject(refused.context, hwpt, needsOf(hwpt)), behind(device), ...facts],
    'for a page table made by this device',
  );
};

function needsOf({ domain, enforceCacheCoherency }: HwptPaging): string {
  const needs = [
    ...(enforceCacheCoherency ? ['snoop control'] : []),
    ...(domain.dirtyOps ? ['dirty tracking'] : []),
    `the format ${domain.format}`,
    `addresses of ${rangeText(domain.aperture)}`,
  ];
  return `was made for ${domain.iommu} and needs ${needs.join(', ')}`;
}

const substreams: Explain = (refused) => {
  const device = boundIn(refused);
  if (device === undefined) return null;
  const held = Object.entries(groupOf(refused.context, device).slots).filter(
    ([pasid]) => Number(pasid) !== RID,
  );
  return remedy(
    held.map(([pasid, { hwpt }]) => plain(`${slotName(Number(pasid))} is attached to HWPT ${hwpt}`)),
    'after these PASIDs are detached',
  );
};

const noPageRequests: Explain = (refused) => {
  const device = physicalOf(refused);
  if (device === undefined) return null;
  const has = (what: string, value: boolean | null): string =>
    `${what} ${value === null ? 'unknown' : value ? 'yes' : 'no'}`;
  return remedy(
    [plain(`${deviceName(device)}: ${has('ATS', device.ats)}, ${has('PRI', device.pri)}`), behind(device)],
    'for a page table without FAULT_ID_VALID',
  );
};

/** The nest parents that are filled, or the areas that the new one can not take. */
const readOnlyParent: Explain = (refused) => {
  const { kernel, context } = refused;
  const target = targetOf(refused);
  if (target !== null) {
    const parents = target.ioas.domains.flatMap((id) => {
      const hwpt = context.objects[id];
      return hwpt?.type === 'hwpt-paging' && hwpt.domain.needsProt === PROT_WRITE ? [hwpt] : [];
    });
    return remedy(
      parents.map((hwpt) =>
        ofObject(context, hwpt, `of ${objectLabel(target.ioas)} is a nest parent of VT-d`),
      ),
      'with WRITEABLE as well',
    );
  }
  const ioas = objectIn(refused, 'pt_id');
  if (ioas?.type !== 'ioas') return null;
  const { areas } = spaceOf(kernel, ioas);
  const bad = slotsOf(kernel, ioas).filter((slot) => (areas.prot[slot]! & PROT_WRITE) === 0);
  return remedy(
    listed(bad, (slot) => ofArea(kernel, context, ioas, slot, 'is mapped without WRITEABLE')),
    'after these areas are unmapped',
  );
};

/** The words of driver data that the recorder kept. */
function wordsAt(refused: InContext, field: string, count: number, skip = 0): bigint[] {
  const address = refused.fields[field];
  if (typeof address !== 'bigint' && typeof address !== 'number') return [];
  const buffer = findBuffer(
    refused.kernel.call,
    Number(BigInt(address) / 4096n),
    Number(BigInt(address) % 4096n),
    skip + count * 8,
  );
  if (buffer?.before == null) return [];
  const from = Number(BigInt(address) - buffer.addr) + skip;
  if (buffer.before.length < from + count * 8) return [];
  const view = new DataView(buffer.before.buffer, buffer.before.byteOffset + from);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(index * 8, true));
}

const STE_CONFIG = ['abort', 'unknown', 'unknown', 'unknown', 'bypass', 'stage 1', 'stage 2', 'both stages'];

const badSte: Explain = (refused) => {
  const [first, second] = wordsAt(refused, 'data_uptr', 2);
  if (first === undefined || second === undefined) return null;
  const config = Number((first >> 1n) & 7n);
  const eats = Number((second >> 28n) & 3n);
  return remedy([
    plain(`the entry is ${hex(first)}, ${hex(second)}`),
    plain(`its configuration is ${STE_CONFIG[config]}, its EATS ${eats}`),
  ]);
};

const WORD_BYTES = 8;

const entries = (count: number, length: number): string =>
  `${count} command${count === 1 ? '' : 's'} of ${length} bytes`;

/** The commands as given, and the vDEVICEs whose streams they may name. */
const badCommand: Explain = (refused) => {
  const viommu = objectIn(refused, 'hwpt_id');
  if (viommu?.type !== 'viommu') return null;
  const length = numberIn(refused, 'entry_len');
  const count = numberIn(refused, 'entry_num');
  const commands = Array.from({ length: count }, (_, index) =>
    length < WORD_BYTES ? [] : wordsAt(refused, 'data_uptr', 1, index * length),
  ).flat();
  const known = Object.values(viommu.vdevices).flatMap((id) => {
    const vdevice = refused.context.objects[id];
    return vdevice === undefined ? [] : [ofObject(refused.context, vdevice, 'is on the vIOMMU')];
  });
  return remedy([
    plain(`there are ${entries(count, length)}`),
    ...listed(commands, (word) => plain(`opcode ${hex(word & 0xffn)}, stream ${hex(word >> 32n)}`)),
    ...known,
  ]);
};

export const DRIVER_REMEDIES: Readonly<Record<string, Explain>> = {
  'vtd-flags-unsupported': missing(VTD_BITS, 'scalable_mode', 'nesting', 'dirty_tracking'),
  'vtd-nesting-unsupported': missing(VTD_BITS, 'scalable_mode', 'nesting'),
  'amd-flags-unsupported': missing(AMD_BITS, 'nest_parent', 'dirty_tracking'),
  'smmuv3-flags-unsupported': missing(SMMU_BITS, 'nest_parent', 'dirty_tracking'),
  'vtd-domain-incompatible': vtdIncompatible,
  'no-page-requests': noPageRequests,
  'nest-parent-read-only': readOnlyParent,
  'smmuv3-other-instance': otherIommu(),
  'viommu-of-other-iommu': otherIommu('viommu_id', 'pt_id'),
  'viommu-parent-of-other-iommu': otherIommu('hwpt_id'),
  'smmuv3-substreams-in-use': substreams,
  'smmuv3-bad-ste': badSte,
  'smmuv3-command-not-allowed': badCommand,
  'smmuv3-stream-unknown': badCommand,
};
