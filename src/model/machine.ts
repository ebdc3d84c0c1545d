import type { IommuInstance, JsonValue, Topology, TopologyDevice, TraceHeader } from '../trace/index.ts';
import { offsetOf, pageOf } from './address.ts';
import type { IovaRange } from './iova-space.ts';

/**
 * The machine that the modelled kernel runs on: its IOMMUs and the devices behind them, from a trace's
 * topology. Immutable; what a replay learns beyond it is in `ControlState.learned`.
 */

/** IOMMU drivers that the model knows. */
export type DriverName = 'mock' | 'vtd' | 'amd' | 'smmuv3' | 'riscv';

/** What GET_HW_INFO gives. */
export interface HwInfo {
  /** IOMMU_HW_INFO_TYPE. */
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** One IOMMU. A fact that the topology does not state is null. */
export interface Iommu {
  readonly name: string;
  readonly driver: DriverName;
  /** `pgsize_bitmap` of a page table as a double. */
  readonly pageSizes: number | null;
  /** What an ordinary page table can map. */
  readonly aperture: IovaRange | null;
  /** What a nest parent can map, where that differs. */
  readonly nestAperture: IovaRange | null;
  readonly hwInfo: HwInfo | null;
  /** `amdv1`, `amdv2`, `vtd-fs`, `vtd-ss`, `riscv-sv57` …: the format of an ordinary page table. */
  readonly tableFormat: string | null;
  /** Facts by their key in the topology: `scalable_mode`, `nesting`, `dirty_tracking` … */
  readonly stated: Readonly<Record<string, boolean>>;
}

/** A range that a device's IOVAs must leave alone, and why (`msi`, `reserved`, `direct` …). */
export interface DeviceRange extends IovaRange {
  readonly kind: string;
}

/** One device that VFIO drives. */
export interface PhysicalDevice {
  /** Place in `Machine.devices`. */
  readonly index: number;
  /** `/dev/vfio/devices/vfioN`; empty when unknown. */
  readonly path: string;
  /** `0000:00:02.0`; empty when unknown. */
  readonly bdf: string;
  readonly group: number;
  readonly iommu: Iommu;
  readonly reserved: readonly DeviceRange[];
  /** PASIDs that device and IOMMU both have; 0 when none, null when not stated. */
  readonly maxPasids: number | null;
  readonly ats: boolean | null;
  readonly pri: boolean | null;
}

export interface Machine {
  /** As `uname -m` names it; null when unknown. */
  readonly arch: string | null;
  readonly iommus: readonly Iommu[];
  readonly devices: readonly PhysicalDevice[];
  /** The topology as stated: what generations of the API ask that have devices of their own kinds. */
  readonly topology?: Topology;
}

/** A machine with nothing but mock devices. */
export const MOCK_MACHINE: Machine = { arch: null, iommus: [], devices: [] };

const DRIVERS: ReadonlySet<string> = new Set<DriverName>(['vtd', 'amd', 'smmuv3', 'riscv']);

/** The machine that a capture's header describes. An IOMMU of a kind unknown to the model is left out. */
export function machineOf({ topology, arch }: Pick<TraceHeader, 'topology' | 'arch'>): Machine {
  const { iommu } = topology;
  if (iommu === null || !DRIVERS.has(iommu)) return { ...MOCK_MACHINE, arch, topology };
  const driver = iommu as DriverName;
  const iommus = topology.instances.map((instance) => iommuOf(instance, driver));
  const devices = topology.devices.flatMap((device, index) => {
    const found = iommus.find(({ name }) => name === device.instance) ?? iommus[0];
    return found === undefined ? [] : [deviceOf(device, index, found)];
  });
  return { arch, iommus, devices, topology };
}

function iommuOf({ name, pgsizeBitmap, aperture, raw }: IommuInstance, driver: DriverName): Iommu {
  const stated = Object.entries(raw).filter(
    (entry): entry is [string, boolean] => typeof entry[1] === 'boolean',
  );
  const format = raw['table_format'];
  return {
    name,
    driver,
    pageSizes: pgsizeBitmap === null ? null : Number(pgsizeBitmap),
    aperture: aperture === null ? null : rangeOf(aperture[0], aperture[1]),
    nestAperture: rangeFrom(raw['nest_parent_aperture']),
    hwInfo: hwInfoOf(raw['hw_info']),
    tableFormat: typeof format === 'string' ? format : null,
    stated: Object.fromEntries(stated),
  };
}

function deviceOf({ path, bdf, group, raw }: TopologyDevice, index: number, iommu: Iommu): PhysicalDevice {
  const ranges = Array.isArray(raw['reserved']) ? (raw['reserved'] as readonly JsonValue[]) : [];
  const { max_pasids: maxPasids, ats, pri } = raw;
  return {
    index,
    path: path ?? '',
    bdf: bdf ?? '',
    group: group ?? -1,
    iommu,
    reserved: ranges.flatMap((range) => {
      const found = rangeFrom(range);
      const kind = Array.isArray(range) && typeof range[2] === 'string' ? range[2] : 'reserved';
      return found === null ? [] : [{ ...found, kind }];
    }),
    maxPasids: typeof maxPasids === 'number' ? maxPasids : null,
    ats: typeof ats === 'boolean' ? ats : null,
    pri: typeof pri === 'boolean' ? pri : null,
  };
}

function hwInfoOf(value: JsonValue | undefined): HwInfo | null {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return null;
  const { type, data } = value as { readonly type?: JsonValue; readonly data?: JsonValue };
  if (typeof type !== 'number' || typeof data !== 'string') return null;
  return { type, bytes: new Uint8Array(Buffer.from(data, 'hex')) };
}

/** `["0x0", "0xff"]` with whatever follows; null for anything else. */
function rangeFrom(value: JsonValue | undefined): IovaRange | null {
  if (!Array.isArray(value)) return null;
  const [first, last] = value as readonly JsonValue[];
  if (typeof first !== 'string' || typeof last !== 'string') return null;
  if (!isHex(first) || !isHex(last)) return null;
  return rangeOf(BigInt(first), BigInt(last));
}

function isHex(text: string): boolean {
  return /^0x[0-9a-fA-F]{1,16}$/.test(text);
}

function rangeOf(first: bigint, last: bigint): IovaRange {
  return {
    startPage: pageOf(first),
    startOffset: offsetOf(first),
    lastPage: pageOf(last),
    lastOffset: offsetOf(last),
  };
}

/** Nobody described the machine: only its devices and the kind of its IOMMU are known. */
export function isInferred({ iommus }: Machine): boolean {
  return iommus.some(({ stated }) => stated['inferred'] === true);
}

/** Name of the IOMMU that a device object is behind; empty for the mock one. */
export function iommuName(
  { machine }: { readonly machine: Machine },
  { physical }: { readonly physical: number },
): string {
  return machine.devices[physical]?.iommu.name ?? '';
}
