/**
 * Which command a number is. The descriptor decides: 0x3b71 maps memory on a container and resets a device on
 * a device, and a group answers neither.
 */

import { IOASID_V4_IOCTLS } from './ioasid-2021-02.ts';
import type { IoctlEntry } from './ioctl.ts';
import { IOMMUFD_IOCTLS } from './iommufd.ts';
import { RFC_2021_09_IOCTLS } from './rfc-2021-09.ts';
import { SELFTEST_IOCTLS } from './selftest.ts';
import { VFIO_CONTAINER_IOCTLS, VFIO_GROUP_IOCTLS, VFIO_SPAPR_IOCTLS } from './vfio.ts';
import { VFIO_DEVICE_IOCTLS } from './vfio-device.ts';

const TABLE = [
  ...IOMMUFD_IOCTLS,
  ...SELFTEST_IOCTLS,
  ...VFIO_CONTAINER_IOCTLS,
  ...VFIO_GROUP_IOCTLS,
  ...VFIO_DEVICE_IOCTLS,
  // Last, so that type1 wins where both have the number.
  ...VFIO_SPAPR_IOCTLS,
] as const;

type Row = (typeof TABLE)[number];
export type IoctlName = Row['name'];

/** Every command, type1 before spapr where they share a number. */
export const IOCTLS: readonly IoctlEntry[] = TABLE;

/** The command word by name: `CMD.IOMMU_IOAS_MAP === 0x3b85`. */
export const CMD = Object.fromEntries(TABLE.map((entry) => [entry.name, entry.cmd])) as {
  readonly [R in Row as R['name']]: R['cmd'];
};

type KindIndex = ReadonlyMap<string, ReadonlyMap<number, readonly IoctlEntry[]>>;

function indexByKind(entries: readonly IoctlEntry[]): KindIndex {
  const index = new Map<string, Map<number, IoctlEntry[]>>();
  for (const entry of entries) {
    for (const kind of entry.kinds) {
      const byCmd = index.get(kind) ?? new Map<number, IoctlEntry[]>();
      index.set(kind, byCmd);
      byCmd.set(entry.cmd, [...(byCmd.get(entry.cmd) ?? []), entry]);
    }
  }
  return index;
}

const BY_KIND = indexByKind(IOCTLS);

/** Generations of 2020 and 2021 that had binary layouts: their numbers mean something else elsewhere. */
const BY_GENERATION: ReadonlyMap<string, KindIndex> = new Map([
  ['rfc-2021-09', indexByKind(RFC_2021_09_IOCTLS)],
  ['ioasid-v4', indexByKind(IOASID_V4_IOCTLS)],
]);

const BY_NAME: ReadonlyMap<string, IoctlEntry> = new Map(IOCTLS.map((entry) => [entry.name, entry]));

/** Every meaning of a number on a descriptor of this kind, the usual one first. */
export function findIoctls(kind: string, cmd: number): readonly IoctlEntry[] {
  return BY_KIND.get(kind)?.get(cmd) ?? [];
}

/**
 * The usual meaning of a number on a descriptor of this kind; undefined when it has none (the kernel:
 * ENOTTY). `kernel` is the one that a trace names: a generation of 2020 and 2021 has numbers of its own, and
 * on other descriptors than its /dev/iommu those of VFIO beside them.
 */
export function findIoctl(kind: string, cmd: number, kernel = ''): IoctlEntry | undefined {
  const own = BY_GENERATION.get(kernel);
  if (own === undefined) return BY_KIND.get(kind)?.get(cmd)?.[0];
  return own.get(kind)?.get(cmd)?.[0] ?? (kind === 'iommufd' ? undefined : BY_KIND.get(kind)?.get(cmd)?.[0]);
}

/** The command of a name, such as `IOMMU_IOAS_MAP`. */
export function findIoctlByName(name: string): IoctlEntry | undefined {
  return BY_NAME.get(name);
}
