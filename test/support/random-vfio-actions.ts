import type { Context, OpenFile, Slot, VfioDevice } from '../../src/model/state.ts';
import {
  buildStruct,
  CMD,
  type FieldValue,
  type StructLayout,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_GROUP_GET_STATUS,
} from '../../src/uapi/index.ts';
import { PAGE_TABLES } from './random-actions.ts';
import {
  contextOf,
  type Descriptor,
  type Draws,
  freeDescriptor,
  idOf,
  openOn,
  type World,
  YES,
} from './random-world.ts';
import type { Answered } from './session.ts';

/** Calls on descriptors of VFIO: devices and groups. Nothing happens on a machine without devices. */

const WINDOWS = 0x610000000000n;
const WINDOW_BYTES = 8192n;
const EBUSY = 16;
const PASIDS = [0, 1, 2, 31, 32, 2 ** 31];

export const VFIO_ACTIONS = {
  openDevice: (world: World, draws: Draws) => {
    const devices = world.session.kernel.machine.devices;
    if (devices.length === 0 || openOn(world, 'device').length > 5) return;
    openDevice(world, devices[draws.below(devices.length)]!.path);
  },
  bind: (world: World, draws: Draws) => {
    const device = someOf(draws, openOn(world, 'device'));
    if (device === undefined) return;
    const flags = draws.below(20) === 0 ? 1 : 0;
    const iommufd = draws.below(20) === 0 ? draws.below(12) : (contextDescriptor(world) ?? -1);
    ask(world, device, CMD.VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_BIND_IOMMUFD, { flags, iommufd });
  },
  attach: (world: World, draws: Draws) => {
    const device = boundOf(world, draws);
    if (device === undefined) return;
    const vfio = world.session.kernel.state.vfio.devices[device.file.object]!;
    const previous = world.fd;
    world.fd = contextDescriptor(world, vfio.context) ?? previous;
    const pt_id = idOf(world, draws, ...PAGE_TABLES);
    const [flags, pasid] = pasidOf(draws);
    const held = heldBefore(world, vfio);
    const { errno } = ask(world, device, CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_ATTACH_IOMMUFD_PT, {
      ...{ flags, pt_id, pasid },
    });
    noteLoss(world, vfio, held, errno);
    world.fd = previous;
  },
  detach: (world: World, draws: Draws) => {
    const device = boundOf(world, draws);
    if (device === undefined) return;
    const [flags, pasid] = pasidOf(draws);
    const request = { flags, pasid };
    ask(world, device, CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT, request);
  },
  openGroup: (world: World, draws: Draws) => {
    const { machine, state } = world.session.kernel;
    if (machine.devices.length === 0) return;
    const { group } = machine.devices[draws.below(machine.devices.length)]!;
    const known = state.vfio.groups[group];
    const isBusy = known !== undefined && (known.opened !== 0 || known.cdevOpens > 0);
    const fd = isBusy ? -1 : freeDescriptor(world);
    const answer = { replied: true, ret: fd, errno: isBusy ? EBUSY : 0 };
    world.record({ op: 'open', ...answer, fd, kind: 'group', path: `/dev/vfio/${group}`, flags: 2n });
  },
  groupStatus: (world: World, draws: Draws) => {
    const group = someOf(draws, openOn(world, 'group'));
    if (group !== undefined) ask(world, group, CMD.VFIO_GROUP_GET_STATUS, VFIO_GROUP_GET_STATUS, {});
  },
  setContainer: (world: World, draws: Draws) => {
    const group = someOf(draws, openOn(world, 'group'));
    if (group === undefined) return;
    const number = new DataView(new ArrayBuffer(4));
    number.setInt32(0, draws.below(10) === 0 ? draws.below(12) : (contextDescriptor(world) ?? -1), true);
    send(world, group, CMD.VFIO_GROUP_SET_CONTAINER, new Uint8Array(number.buffer));
  },
  unsetContainer: (world: World, draws: Draws) => {
    const group = someOf(draws, openOn(world, 'group'));
    if (group !== undefined) send(world, group, CMD.VFIO_GROUP_UNSET_CONTAINER, new Uint8Array(0));
  },
  getDevice: (world: World, draws: Draws) => {
    const group = someOf(draws, openOn(world, 'group'));
    if (group === undefined) return;
    const name = `0000:00:0${2 + draws.below(3)}.0${draws.below(12) === 0 ? ' x' : ''}\0`;
    send(world, group, CMD.VFIO_GROUP_GET_DEVICE_FD, Buffer.from(name, 'latin1'));
  },
  closeVfio: (world: World, draws: Draws) => {
    const chosen = someOf(draws, openOn(world, 'device', 'group'));
    if (chosen !== undefined) world.session.close(chosen.fd, kindOf(chosen.file));
  },
  mapDevice: (world: World, draws: Draws) => {
    const device = boundOf(world, draws);
    if (device === undefined) return;
    const mapped = WINDOWS + BigInt(draws.below(4)) * WINDOW_BYTES;
    const where = { addr: 0n, len: WINDOW_BYTES, prot: 3, flags: 1n, off: 0n, mapped, errno: 0 };
    world.record({ op: 'mmap', fd: device.fd, kind: 'device', ...where });
  },
  unmapDevice: (world: World, draws: Draws) => {
    const pages = BigInt(1 + draws.below(2));
    world.session.munmap(WINDOWS + BigInt(draws.below(8)) * 4096n, pages * 4096n);
  },
} as const;

/** Opens a device's own descriptor, and answers its number. */
export function openDevice(world: World, path: string): number {
  const fd = freeDescriptor(world);
  world.record({ op: 'open', ...YES, ret: fd, fd, kind: 'device', path, flags: 2n });
  return fd;
}

function kindOf({ kind }: OpenFile): 'device' | 'group' {
  return kind === 'device' ? 'device' : 'group';
}

function someOf(draws: Draws, all: readonly Descriptor[]): Descriptor | undefined {
  return all[draws.below(Math.max(1, all.length))];
}

/** Mostly a descriptor with access. */
function boundOf(world: World, draws: Draws): Descriptor | undefined {
  const { devices } = world.session.kernel.state.vfio;
  const all = openOn(world, 'device');
  const bound = all.filter(({ file }) => devices[file.object]?.granted.includes(file.id));
  return someOf(draws, bound.length === 0 ? [] : bound);
}

/** Number of the current context in the current process, or of another one. */
function contextDescriptor(world: World, id = contextOf(world)?.id): number | undefined {
  return openOn(world, 'iommufd').find(({ file }) => file.context === id)?.fd;
}

function pasidOf(draws: Draws): readonly [flags: number, pasid: number] {
  return draws.below(4) === 0 ? [1, PASIDS[draws.below(PASIDS.length)]!] : [0, 0];
}

function ask(
  world: World,
  { fd, file }: Descriptor,
  cmd: number,
  layout: StructLayout,
  fields: Readonly<Record<string, FieldValue>>,
): Answered {
  const arg = buildStruct(layout, { argsz: layout.sizeBytes, ...fields });
  return world.session.ioctl(fd, cmd, arg, [], undefined, kindOf(file));
}

function send(world: World, { fd, file }: Descriptor, cmd: number, arg: Uint8Array): void {
  world.session.ioctl(fd, cmd, arg, [], undefined, kindOf(file));
}

/** The slot of the device's group, when the device holds it. */
function heldBefore({ session }: World, { context, object, attached }: VfioDevice): readonly number[] {
  const home: Context | undefined = session.kernel.state.contexts[context];
  const device = home?.objects[object];
  if (!attached || home === undefined || device?.type !== 'device') return [];
  const slot: Slot | undefined = home.groups[device.group]?.slots[0];
  return [...(slot?.devices ?? [])];
}

/**
 * A replace that a driver refuses takes reserved ranges away, also when another page table of the IOAS is
 * taken after that: every device of the slot may have lost its own.
 */
function noteLoss(
  { lost }: World,
  { context, object }: VfioDevice,
  held: readonly number[],
  errno: number,
): void {
  if (held.length > 0) for (const id of held) lost.add(`${context}:${id}`);
  else if (errno === 0) lost.delete(`${context}:${object}`);
}
