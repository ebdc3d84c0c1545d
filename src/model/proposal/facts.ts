import type { JsonValue } from '../../trace/index.ts';
import { type PasidUser, type PlatformName, SCOPE_POLICIES, type ScopePolicy } from '../ioasid/index.ts';
import type { Machine } from '../machine.ts';

/**
 * What a generation's answers depend on of the hardware: keys of the topology's devices, as
 * docs/capture-format-calls.md lists them. A key that is not stated has the value of a plain PCI function
 * behind an IOMMU with every capability.
 */
export interface DeviceFacts {
  /** Address of the function, or the name of the mediated device. */
  readonly name: string;
  /** Empty for a device that VFIO does not drive. */
  readonly path: string;
  /** Number of the group; -1 for a device mediated by software, which no IOMMU sees. */
  readonly group: number;
  /** Function that issues the requests: the parent of a mediated device. */
  readonly functionName: string;
  readonly isMediated: boolean;
  /** Mediated purely by software. */
  readonly isSoftware: boolean;
  /** ENQCMD (deferrable memory writes) reaches it. */
  readonly isShared: boolean;
  readonly hasPasid: boolean;
  /** The driver of a mediated device keeps a table from guest PASIDs to those on the wire. */
  readonly translates: boolean;
  /** The IOMMU can make all DMA snoop, whatever the device asks for. */
  readonly enforcesSnoop: boolean;
  readonly addressWidth: number;
  /** `pgsize_bitmap`, in hex. */
  readonly pageSizes: string;
  readonly hasHardwareNesting: boolean;
  /** Kernel driver at boot; null when none. Bridges have none that matters. */
  readonly driver: string | null;
  readonly isBridge: boolean;
  readonly reserved: readonly (readonly [bigint, bigint])[];
}

/** Drivers that leave a device to user space: RFC of 2021-09-19, 06/20. */
const HARMLESS: ReadonlySet<string> = new Set(['vfio-pci', 'pci-stub']);
const DEFAULT_PAGE_SIZES = '0x40201000';
const DEFAULT_WIDTH = 48;

const devicesOf = new WeakMap<Machine, readonly DeviceFacts[]>();
const groupsOf = new WeakMap<Machine, Map<number, readonly DeviceFacts[]>>();
const namesOf = new WeakMap<Machine, ReadonlyMap<string, DeviceFacts>>();

/** A device by the name that the topology gives it. */
export function findDevice(machine: Machine, name: string): DeviceFacts | undefined {
  let byName = namesOf.get(machine);
  if (byName === undefined) {
    // The first of a name counts, as a search from the front would find it.
    byName = new Map([...deviceFacts(machine)].reverse().map((device) => [device.name, device]));
    namesOf.set(machine, byName);
  }
  return byName.get(name);
}

/** Every device of the machine, in the order of the topology. */
export function deviceFacts(machine: Machine): readonly DeviceFacts[] {
  let facts = devicesOf.get(machine);
  if (facts === undefined) {
    facts = (machine.topology?.devices ?? []).map(({ path, bdf, group, raw }) =>
      factsOf(path ?? '', bdf ?? '', group ?? -1, raw),
    );
    devicesOf.set(machine, facts);
  }
  return facts;
}

function factsOf(
  path: string,
  bdf: string,
  group: number,
  raw: Readonly<Record<string, JsonValue>>,
): DeviceFacts {
  const { parent, driver, addr_width: width, pgsize_bitmap: pages, reserved } = raw;
  const isMediated = typeof parent === 'string';
  return {
    name: bdf,
    path,
    group,
    functionName: isMediated ? parent : bdf,
    isMediated,
    isSoftware: raw['software'] === true,
    isShared: raw['enqcmd'] === true,
    hasPasid: raw['pasid'] === true,
    translates: isMediated && raw['translates'] !== false,
    enforcesSnoop: raw['enforce_snoop'] !== false,
    addressWidth: typeof width === 'number' ? width : DEFAULT_WIDTH,
    pageSizes: typeof pages === 'string' ? pages : DEFAULT_PAGE_SIZES,
    hasHardwareNesting: raw['nesting'] !== false,
    driver: typeof driver === 'string' ? driver : null,
    isBridge: raw['bridge'] === true,
    reserved: rangesOf(reserved),
  };
}

function rangesOf(value: JsonValue | undefined): readonly (readonly [bigint, bigint])[] {
  if (!Array.isArray(value)) return [];
  return (value as readonly JsonValue[]).flatMap((range) => {
    if (!Array.isArray(range)) return [];
    const [first, last] = range as readonly JsonValue[];
    return typeof first === 'string' && typeof last === 'string' ? [[BigInt(first), BigInt(last)]] : [];
  });
}

/** Every device of a group but bridges: all have to be attached before an address space is whole. */
export function groupMembers(machine: Machine, group: number): readonly DeviceFacts[] {
  let groups = groupsOf.get(machine);
  if (groups === undefined) {
    groups = new Map();
    for (const device of deviceFacts(machine))
      if (!device.isBridge) groups.set(device.group, [...(groups.get(device.group) ?? []), device]);
    groupsOf.set(machine, groups);
  }
  return groups.get(group) ?? [];
}

/** `iommu_group_viable`: nobody but user space drives a device of the group. */
export function isViable(machine: Machine, group: number): boolean {
  return deviceFacts(machine)
    .filter((device) => device.group === group)
    .every(({ driver, isBridge }) => isBridge || driver === null || HARMLESS.has(driver));
}

const PLATFORMS: Readonly<Record<string, PlatformName>> = {
  vtd: 'vtd',
  smmuv3: 'smmuv3',
  amd: 'amd',
  power: 'power',
};

/** Who numbers PASIDs on this machine; VT-d's rules where the topology names no IOMMU. */
export function policyOf(machine: Machine): ScopePolicy {
  return SCOPE_POLICIES[PLATFORMS[machine.topology?.iommu ?? 'vtd'] ?? 'vtd'];
}

/** Vendors whose tables of the user an IOMMU of this machine walks: the platform's own. */
export function tableFormats({ kernel }: { readonly kernel: { readonly machine: Machine } }): string[] {
  const { platform } = policyOf(kernel.machine);
  return platform === 'power' ? [] : [platform];
}

/**
 * A device as the scope policy sees it. All mediated devices of a function that ENQCMD reaches, even through
 * another one, have entries in one table with those numbers of the system: they take theirs from the same
 * pool. Source: proposal of 2021-05-27, section 4.
 */
export function pasidUser(machine: Machine, { functionName, isMediated, isShared }: DeviceFacts): PasidUser {
  const isReached = deviceFacts(machine).some(
    (other) => other.functionName === functionName && other.isMediated && other.isShared,
  );
  return { functionName, isMediated, isShared: isMediated ? isReached : isShared };
}
