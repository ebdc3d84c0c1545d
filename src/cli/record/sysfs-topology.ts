import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { JsonValue } from '../../trace/index.ts';

type Json = { readonly [key: string]: JsonValue };

/**
 * The machine as sysfs describes it, as `topology` of a capture's header: which IOMMUs there are, and the
 * devices that a VFIO driver has, with group, IOMMU and reserved regions. What sysfs does not say stays out.
 * @param sys Folder of sysfs.
 */
export function readTopologyOf(sys = '/sys'): Json | null {
  const instances = namesIn(join(sys, 'class/iommu'));
  const devices = vfioDevicesOf(sys);
  const iommu = kindOf(instances);
  if (iommu === null && devices.length === 0) return null;
  return {
    ...(iommu === null ? {} : { iommu }),
    instances: instances.map((name) => instanceOf(sys, name)),
    devices,
  };
}

/** Kinds of IOMMUs by the names that their drivers give to sysfs. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^dmar\d/, 'vtd'],
  [/^ivhd\d/, 'amd'],
  [/^smmu3\./, 'smmuv3'],
  [/^riscv-iommu/, 'riscv'],
];

function kindOf(instances: readonly string[]): string | null {
  for (const [pattern, kind] of NAMES) if (instances.some((name) => pattern.test(name))) return kind;
  return null;
}

/** VT-d tells its capability registers. What domains get of them is the kernel's choice, and is learned. */
function instanceOf(sys: string, name: string): Json {
  const cap = textIn(join(sys, 'class/iommu', name, 'intel-iommu/cap'));
  const ecap = textIn(join(sys, 'class/iommu', name, 'intel-iommu/ecap'));
  return {
    name,
    ...(cap === null ? {} : { cap: `0x${cap}` }),
    ...(ecap === null ? {} : { ecap: `0x${ecap}` }),
  };
}

/** Devices of /dev/vfio/devices, and those whose group has a VFIO driver. */
function vfioDevicesOf(sys: string): readonly Json[] {
  const devices: Json[] = [];
  for (const group of [...namesIn(join(sys, 'kernel/iommu_groups'))].sort((a, b) => Number(a) - Number(b))) {
    const folder = join(sys, 'kernel/iommu_groups', group);
    const reserved = reservedIn(join(folder, 'reserved_regions'));
    for (const device of namesIn(join(folder, 'devices'))) {
      const place = join(folder, 'devices', device);
      const driver = linkName(join(place, 'driver'));
      const cdev = namesIn(join(place, 'vfio-dev'))[0];
      if (cdev === undefined && !(driver ?? '').includes('vfio')) continue;
      const instance = linkName(join(place, 'iommu'));
      devices.push({
        ...(cdev === undefined ? {} : { path: `/dev/vfio/devices/${cdev}` }),
        bdf: device,
        group: Number(group),
        ...(instance === null ? {} : { instance }),
        ...(driver === null ? {} : { driver }),
        reserved,
      });
    }
  }
  return devices;
}

/** Lines `0xFIRST 0xLAST KIND`. */
function reservedIn(path: string): readonly JsonValue[] {
  const lines = (textIn(path) ?? '').split('\n').map((line) => line.trim().split(/\s+/));
  return lines
    .filter((words) => words.length === 3)
    .map(([first, last, kind]) => [short(first!), short(last!), kind!]);
}

const short = (hex: string): string => `0x${BigInt(hex).toString(16)}`;

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function textIn(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

function linkName(path: string): string | null {
  try {
    return basename(readlinkSync(path));
  } catch {
    return null;
  }
}
