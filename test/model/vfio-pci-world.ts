import {
  createPciFacts,
  createPciOpenState,
  NOT_OWNED,
  OWNED,
  type PciDevice,
  type PciFacts,
  type PciOpenState,
} from '../../src/model/vfio-pci/index.ts';
import type { CloseCall, IoctlCall, OpenCall, TraceHeader } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';

/** Who holds which device in a trace: what the model's control state tells vfio-pci. */
export interface World {
  readonly header: TraceHeader;
  readonly devices: Map<string, Device>;
  /** By `pid:fd`. */
  readonly files: Map<string, File>;
}

interface Device {
  readonly facts: PciFacts;
  open: PciOpenState;
  users: number;
}

interface File {
  readonly kind: string;
  /** Of a group: its number. */
  readonly group: number | null;
  readonly device: Device | null;
  readonly openedByCdev: boolean;
  granted: boolean;
  /** The iommufd it is bound to, and its id there. */
  iommufd: number | null;
  id: number | null;
}

const GROUP_PATH = /^\/dev\/vfio\/(\d+)$/;

export function createWorld(header: TraceHeader, known: World['devices']): World {
  const kept = [...known].map(([key, { facts }]): [string, Device] => [
    key,
    { facts, open: createPciOpenState(), users: 0 },
  ]);
  return { header, devices: new Map(kept), files: new Map() };
}

/** The same device opened in either way has one set of facts, where the topology says that it is the same. */
function deviceAt(world: World, place: string): Device {
  const listed = world.header.topology.devices.find(({ path, bdf }) => path === place || bdf === place);
  const address = listed?.bdf ?? (place.startsWith('/') ? null : place);
  const key = address ?? place;
  const found = world.devices.get(key);
  if (found !== undefined) return found;
  const made = { facts: createPciFacts(address), open: createPciOpenState(), users: 0 };
  world.devices.set(key, made);
  return made;
}

export function noteOpen(world: World, call: OpenCall): void {
  if (call.errno !== 0) return;
  const group = GROUP_PATH.exec(call.path)?.[1];
  const device = call.kind === 'device' ? deviceAt(world, call.path) : null;
  world.files.set(`${call.pid}:${call.fd}`, {
    kind: call.kind,
    group: group === undefined ? null : Number(group),
    device,
    openedByCdev: device !== null,
    granted: false,
    iommufd: null,
    id: null,
  });
}

export function noteClose(world: World, call: CloseCall): void {
  const key = `${call.pid}:${call.fd}`;
  const file = world.files.get(key);
  world.files.delete(key);
  if (!file?.device || !file.granted) return;
  file.device.users -= 1;
  if (file.device.users === 0) file.device.open = createPciOpenState();
}

/** Binding, and taking a device out of a group: as recorded. */
export function noteGrant(world: World, call: IoctlCall): void {
  const file = world.files.get(`${call.pid}:${call.fd}`);
  if (call.errno !== 0 || call.arg === null || file === undefined) return;
  if (call.kind === 'device' && call.cmd === CMD.VFIO_DEVICE_BIND_IOMMUFD && call.out !== null) {
    const reply = new DataView(call.out.buffer, call.out.byteOffset);
    file.granted = true;
    file.iommufd = reply.getInt32(8, true);
    file.id = reply.getUint32(12, true);
    file.device!.users += 1;
  }
  if (call.kind === 'group' && call.cmd === CMD.VFIO_GROUP_GET_DEVICE_FD) {
    const device = deviceAt(world, Buffer.from(call.arg).toString('latin1').replace(/\0.*$/s, ''));
    device.users += 1;
    const taken = { kind: 'device', group: null, device, openedByCdev: false, granted: true };
    world.files.set(`${call.pid}:${call.ret}`, { ...taken, iommufd: null, id: null });
  }
}

/** The descriptor as vfio-pci asks for it; undefined for one that was never seen opened. */
export function pciDeviceOf(world: World, pid: number, fd: number): PciDevice | undefined {
  const file = world.files.get(`${pid}:${fd}`);
  if (!file?.device) return undefined;
  const at = (number: number): File | undefined => world.files.get(`${pid}:${number}`);
  const { openedByCdev, granted, id, iommufd } = file;
  const { facts, open } = file.device;
  return {
    facts,
    open,
    openedByCdev,
    granted,
    id,
    descriptorKind: (number) => at(number)?.kind ?? null,
    groupOf: (number) => at(number)?.group ?? null,
    idOf: (address) => idOf(world, pid, iommufd, address),
  };
}

function idOf(world: World, pid: number, iommufd: number | null, address: string): number | null {
  const bound = [...world.files].filter(
    ([key, file]) => key.startsWith(`${pid}:`) && file.granted && file.iommufd === iommufd,
  );
  const found = bound.find(([, { device }]) => device?.facts.address === address);
  if (found !== undefined) return found[1].id;
  if (bound.some(([, { device }]) => device?.facts.address === null)) return null;
  const groupAt = (wanted: string | null | undefined): number | null =>
    world.header.topology.devices.find(({ bdf }) => bdf === wanted)?.group ?? null;
  const group = groupAt(address);
  if (group === null) return null;
  const held = bound.some(([, { device }]) => groupAt(device?.facts.address) === group);
  return held ? OWNED : NOT_OWNED;
}
