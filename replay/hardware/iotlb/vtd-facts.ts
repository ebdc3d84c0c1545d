import type { Kernel } from '../../../src/model/index.ts';
import type { LiveState } from './live-state.ts';

/** What the registers of a VT-d unit say, as far as invalidations depend on it; null: nothing tells. */
export interface VtdFacts {
  /** CAP.CM: entries that are not present may be cached, so new ones are invalidated as well. */
  readonly cachingMode: boolean | null;
  /** CAP.PSI. */
  readonly pageSelective: boolean | null;
  /** CAP.MAMV: the largest address mask. */
  readonly mostOrder: number;
  /** Scalable mode: entries of PASIDs instead of context entries. */
  readonly scalable: boolean | null;
  /** ECAP.DT. */
  readonly deviceTlb: boolean | null;
  /** ECAP.FSTS: the kernel's own domains use the first stage then. */
  readonly firstStage: boolean | null;
}

/** struct iommu_hw_info_vtd: flags, reserved, cap_reg, ecap_reg. */
const CAP = 8;
const ECAP = 16;
/** MAMV has six bits. */
const NO_LIMIT = 63;

/** Facts of units by name, with the bytes of GET_HW_INFO that they were read from. */
export type KnownUnits = Map<string, { readonly learned: string | undefined; readonly facts: VtdFacts }>;

/** What is known of a unit by now: a GET_HW_INFO of the trace may tell it late. */
export function vtdFacts(
  { kernel, seen }: Pick<LiveState, 'kernel' | 'seen'>,
  units: KnownUnits,
  name: string,
): VtdFacts {
  const learned = kernel.state.learned[name]?.hwInfo;
  const known = units.get(name);
  if (known !== undefined && known.learned === learned) return known.facts;
  const found = readFacts(kernel, name, learned);
  const facts = { ...found, cachingMode: found.cachingMode ?? seen.cachingMode };
  units.set(name, { learned, facts });
  return facts;
}

function readFacts(kernel: Kernel, name: string, learned: string | undefined): VtdFacts {
  const iommu = kernel.machine.iommus.find((each) => each.name === name);
  const bytes = iommu?.hwInfo?.bytes ?? (learned === undefined ? null : Buffer.from(learned, 'hex'));
  const bit = (register: number, at: number): boolean | null => {
    const byte = bytes?.[register + (at >> 3)];
    return byte === undefined ? null : ((byte >> (at & 7)) & 1) === 1;
  };
  const mask = bytes?.[CAP + 6];
  return {
    cachingMode: iommu?.stated['caching_mode'] ?? bit(CAP, 7),
    pageSelective: bit(CAP, 39),
    mostOrder: mask === undefined ? NO_LIMIT : mask & 0x3f,
    scalable: iommu?.stated['scalable_mode'] ?? bit(ECAP, 43),
    deviceTlb: bit(ECAP, 2),
    firstStage: bit(ECAP, 47),
  };
}
