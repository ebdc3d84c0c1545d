import {
  CMD,
  IOMMU_IOAS_CHANGE_PROCESS,
  offsetsOf,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_GET_INFO,
} from '../../../uapi/index.ts';
import { structOf, withU32 } from '../struct-bytes.ts';
import type { EventHandler } from './event-handler.ts';
import { type QemuSession, SUCCESS } from './session.ts';
import type { EventValues } from './values.ts';

/**
 * Events of devices under iommufd (hw/vfio/trace-events, `iommufd_cdev_*`) and of the connection to iommufd,
 * from 8.2 on. Binding and attaching are traced when they succeeded; a failure leaves no event.
 */

const BIND = offsetsOf(VFIO_DEVICE_BIND_IOMMUFD);
const ATTACH = offsetsOf(VFIO_DEVICE_ATTACH_IOMMUFD_PT);
const DETACH = offsetsOf(VFIO_DEVICE_DETACH_IOMMUFD_PT);
const INFO = offsetsOf(VFIO_DEVICE_GET_INFO);
/** The smallest structs: later versions of QEMU pass longer ones with zeros behind. */
const BIND_BYTES = 16;
const ATTACH_BYTES = 12;
const DETACH_BYTES = 8;
const WITH_PASID = 1;
/** A damaged log may bind any number of devices. */
const DEVICES_MAX = 65_536;

const changeProcess: EventHandler = (session, values) => {
  const fd = values.number('fd');
  const worked = values.signed('ret');
  if (fd === null || worked === null) return false;
  const arg = structOf(IOMMU_IOAS_CHANGE_PROCESS.sizeBytes).u32(0, IOMMU_IOAS_CHANGE_PROCESS.sizeBytes).bytes;
  const result = worked === 0 ? { ret: -1, errno: 0, unnamed: true } : SUCCESS;
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_CHANGE_PROCESS, arg, out: arg, result });
  return true;
};

/** QEMU opens /dev/iommu for its first user, unless it was given a descriptor. */
const connect: EventHandler = (session, values) => {
  const fd = values.number('fd');
  const owned = values.number('owned');
  const users = values.number('users');
  if (fd === null || owned === null || users === null) return false;
  const { names } = session;
  if (owned === 1 && users === 1) session.open('/dev/iommu', 'iommufd', fd);
  if (owned === 1) names.users.set(fd, users);
  if (names.opened !== null) names.leaving = { fd: names.opened.fd, iommufd: fd };
  return owned === 1 && users === 1 ? true : 'no call';
};

/**
 * The last user's disconnection closes /dev/iommu, and then the event has no number any more. In all versions
 * QEMU then closes the device that it disconnected, which no event tells.
 */
const disconnect: EventHandler = (session, values) => {
  const fd = values.signed('fd');
  const users = values.number('users');
  if (fd === null || users === null) return false;
  const { names } = session;
  const closed = fd >= 0 ? null : (names.leaving?.iommufd ?? lastUsed(names.users));
  if (fd >= 0) names.users.set(fd, users);
  const closes = closed !== null && names.users.delete(closed);
  if (closes) session.close(closed, 'iommufd');
  if (names.leaving !== null) {
    const device = names.leaving.fd;
    session.close(device, 'device', 'QEMU closes a device once it is disconnected from its iommufd');
    names.leaving = null;
    if (names.opened?.fd === device) names.opened = null;
    for (const [name, known] of names.devices) if (known.fd === device) names.devices.delete(name);
  }
  return closes ? true : 'no call';
};

/** The only iommufd with one user; null when several could be meant. */
function lastUsed(users: ReadonlyMap<number, number>): number | null {
  const single = [...users].filter(([, count]) => count <= 1);
  return single.length === 1 ? single[0]![0] : null;
}

const getFd: EventHandler = (session, values) => {
  const path = values.text('dev');
  const fd = values.signed('fd', 'devfd');
  if (path === null || fd === null) return false;
  if (fd < 0) return 'no call';
  session.open(path, 'device', fd);
  session.names.opened = { path, fd };
  session.names.leaving = null;
  return true;
};

const bind: EventHandler = (session, values) => {
  const iommufd = values.number('iommufd');
  const name = values.text('name');
  const fd = values.number('fd', 'devfd');
  const id = values.number('devid');
  if (iommufd === null || name === null || fd === null || id === null) return false;
  const arg = structOf(BIND_BYTES).u32(BIND.argsz, BIND_BYTES).u32(BIND.iommufd, iommufd).bytes;
  const out = withU32(arg, BIND.out_devid, id);
  session.names.devices.set(name, { name, fd });
  if (session.names.deviceIds.size < DEVICES_MAX) session.names.deviceIds.add(id);
  const missing = ['arg.argsz'];
  const cmd = CMD.VFIO_DEVICE_BIND_IOMMUFD;
  session.ioctl({ fd, kind: 'device', cmd, arg, out, result: SUCCESS, missing });
  return true;
};

const attach: EventHandler = (session, values) => {
  const name = values.text('name');
  const fd = values.number('devfd');
  const id = values.number('id');
  if (name === null || fd === null || id === null) return false;
  const pasid = values.number('pasid') ?? 0;
  const sizeBytes = pasid === 0 ? ATTACH_BYTES : ATTACH_BYTES + 4;
  const arg = structOf(sizeBytes).u32(ATTACH.argsz, sizeBytes).u32(ATTACH.pt_id, id);
  if (pasid !== 0) arg.u32(ATTACH.flags, WITH_PASID).u32(ATTACH.pasid, pasid);
  const { names } = session;
  names.devices.set(name, { name, fd });
  names.leaving = null;
  names.opened = null;
  session.ioctl({
    fd,
    kind: 'device',
    cmd: CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    arg: arg.bytes,
    out: null,
    result: SUCCESS,
    missing: ['arg.argsz'],
  });
  return true;
};

const detach: EventHandler = (session, values) => {
  const iommufd = values.number('iommufd');
  const name = values.text('name');
  if (iommufd === null || name === null) return false;
  const fd = session.names.devices.get(name)?.fd;
  const pasid = values.number('pasid') ?? 0;
  const sizeBytes = pasid === 0 ? DETACH_BYTES : DETACH_BYTES + 4;
  const arg = structOf(sizeBytes).u32(DETACH.argsz, sizeBytes);
  if (pasid !== 0) arg.u32(DETACH.flags, WITH_PASID).u32(DETACH.pasid, pasid);
  if (fd !== undefined && pasid === 0) session.names.leaving = { fd, iommufd };
  session.ioctl({
    fd: fd ?? -2,
    kind: 'device',
    cmd: CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT,
    arg: arg.bytes,
    out: arg.bytes,
    result: SUCCESS,
    missing: fd === undefined ? ['fd', 'arg.argsz'] : ['arg.argsz'],
  });
  return true;
};

const deviceInfo: EventHandler = (session: QemuSession, values: EventValues) => {
  const fd = values.number('devfd');
  const irqs = values.number('num_irqs');
  const regions = values.number('num_regions');
  const flags = values.number('flags');
  if (fd === null || irqs === null || regions === null || flags === null) return false;
  const sizeBytes = VFIO_DEVICE_GET_INFO.sizeBytes;
  const arg = structOf(sizeBytes).u32(INFO.argsz, sizeBytes).bytes;
  const out = structOf(sizeBytes)
    .u32(INFO.argsz, sizeBytes)
    .u32(INFO.flags, flags)
    .u32(INFO.num_regions, regions)
    .u32(INFO.num_irqs, irqs).bytes;
  const missing = ['arg.argsz', 'arg.flags', 'out.cap_offset'];
  const cmd = CMD.VFIO_DEVICE_GET_INFO;
  session.ioctl({ fd, kind: 'device', cmd, arg, out, result: SUCCESS, missing });
  return true;
};

/** Events of devices, and of the connection to iommufd. */
export const DEVICE_EVENTS: Readonly<Record<string, EventHandler>> = {
  iommufd_change_process: changeProcess,
  iommufd_backend_connect: connect,
  iommufd_backend_disconnect: disconnect,
  iommufd_cdev_getfd: getFd,
  iommufd_cdev_connect_and_bind: bind,
  iommufd_cdev_attach_ioas_hwpt: attach,
  iommufd_cdev_pasid_attach_ioas_hwpt: attach,
  iommufd_cdev_detach_ioas_hwpt: detach,
  iommufd_cdev_pasid_detach_ioas_hwpt: detach,
  iommufd_cdev_device_info: deviceInfo,
};

/** What the format strings of these events say in words instead of as `key=value`. */
export const DEVICE_PATTERNS: Readonly<Record<string, RegExp>> = {
  iommufd_cdev_getfd: /^\s*(?<dev>\S+) \(fd=(?<fd>-?\d+)\)/,
  iommufd_cdev_connect_and_bind: successfully(
    'bound device (?<name>.+) \\(fd=(?<fd>\\d+)\\): output devid=(?<devid>\\d+)',
  ),
  iommufd_cdev_attach_ioas_hwpt: successfully(
    'attached device (?<name>.+) \\((?<devfd>\\d+)\\) to id=(?<id>\\d+)',
  ),
  iommufd_cdev_pasid_attach_ioas_hwpt: successfully(
    'attached device (?<name>.+) \\((?<devfd>\\d+)\\) pasid (?<pasid>\\d+) to id=(?<id>\\d+)',
  ),
  iommufd_cdev_detach_ioas_hwpt: successfully('detached (?<name>\\S+)\\s*$'),
  iommufd_cdev_pasid_detach_ioas_hwpt: successfully('detached (?<name>\\S+) pasid (?<pasid>\\d+)'),
  iommufd_cdev_device_info: new RegExp(
    '^\\s*(?<name>.+) \\((?<devfd>\\d+)\\) ' +
      'num_irqs=(?<num_irqs>\\d+) num_regions=(?<num_regions>\\d+) flags=(?<flags>\\d+)',
  ),
};

function successfully(what: string): RegExp {
  return new RegExp(`^\\s*\\[iommufd=(?<iommufd>\\d+)\\] Successfully ${what}`);
}
