import {
  buildStruct,
  RFC_ATTACH,
  RFC_BIND_DATA,
  RFC_CMD,
  RFC_IOASID_ALLOC,
  RFC_IOASID_DMA_OP,
  RFC_IOASID_FREE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../src/uapi/index.ts';
import { deviceAt, type ProposalReply, type ProposalSession, startProposal } from './proposal-session.ts';

/** Calls of the code of September 2021, with arguments that pass unless a test says otherwise. */

export const IOMMU = 3;
export const DEVICE = 10;
export const OTHER = 11;

/** Two devices of one group, one alone, one behind a kernel driver, one that can not enforce snooping,
 * one without a group. */
export const DEVICES = [
  deviceAt('0000:01:00.0', 1, 'a', { reserved: [['0xfee00000', '0xfeefffff', 'msi']] }),
  deviceAt('0000:01:00.1', 1, 'b', { driver: 'pci-stub' }),
  deviceAt('0000:02:00.0', 2, 'c', { addr_width: 39 }),
  deviceAt('0000:03:00.0', 3, 'd'),
  { bdf: '0000:03:00.1', group: 3, driver: 'e1000e' },
  deviceAt('0000:04:00.0', 4, 'e', { enforce_snoop: false }),
  deviceAt('0000:05:00.0', 5, 'f'),
  { bdf: '0000:05:00.1', group: 5, driver: 'pcieport', bridge: true },
  { path: '/dev/vfio/devices/g', bdf: '0000:06:00.0', driver: 'vfio-pci' },
];

export type Fields = Readonly<Record<string, number | bigint>>;

export function bind(s: ProposalSession, fd: number, more: Fields = {}): ProposalReply {
  const fields = { argsz: 24, iommu_fd: IOMMU, dev_cookie: BigInt(fd), ...more };
  return s.ioctl(fd, 'device', RFC_CMD.VFIO_DEVICE_BIND_IOMMUFD, buildStruct(RFC_BIND_DATA, fields));
}

export function alloc(s: ProposalSession, more: Fields = {}): ProposalReply {
  const fields = { argsz: 16, flags: 1, type: 1, addr_width: 48, ...more };
  return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_IOASID_ALLOC, buildStruct(RFC_IOASID_ALLOC, fields));
}

export function attach(s: ProposalSession, fd: number, more: Fields = {}, detaches = false): ProposalReply {
  const fields = { argsz: 16, iommu_fd: IOMMU, ioasid: 0, ...more };
  const cmd = detaches ? RFC_CMD.VFIO_DEVICE_DETACH_IOASID : RFC_CMD.VFIO_DEVICE_ATTACH_IOASID;
  return s.ioctl(fd, 'device', cmd, buildStruct(RFC_ATTACH, fields));
}

export function free(s: ProposalSession, ioasid: number): ProposalReply {
  return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_IOASID_FREE, buildStruct(RFC_IOASID_FREE, { ioasid }));
}

export function withPayload(head: Uint8Array, data: Uint8Array): Uint8Array {
  return Uint8Array.from([...head, ...data]);
}

export function map(s: ProposalSession, more: Fields = {}, op: Fields = {}): ProposalReply {
  const head = buildStruct(RFC_IOASID_DMA_OP, { argsz: 48, ioasid: 0, ...op });
  const payload = { argsz: 32, flags: 3, vaddr: 0x10000n, iova: 0x10000n, size: 0x2000n, ...more };
  const arg = withPayload(head, buildStruct(VFIO_IOMMU_MAP_DMA, payload));
  return s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_MAP_DMA, arg);
}

export function unmap(s: ProposalSession, more: Fields = {}): ProposalReply & { readonly bytes: bigint } {
  const head = buildStruct(RFC_IOASID_DMA_OP, { argsz: 40, ioasid: 0 });
  const payload = { argsz: 24, flags: 0, iova: 0x10000n, size: 0x2000n, ...more };
  const arg = withPayload(head, buildStruct(VFIO_IOMMU_UNMAP_DMA, payload));
  const reply = s.ioctl(IOMMU, 'iommufd', RFC_CMD.IOMMU_UNMAP_DMA, arg);
  const { struct } = reply;
  return { ...reply, bytes: new DataView(struct!.buffer, struct!.byteOffset).getBigUint64(32, true) };
}

/** Opens the IOMMU and a device. */
export function opened(node = 'a', fd = DEVICE): ProposalSession {
  const s = startProposal('rfc-2021-09', DEVICES);
  s.open(IOMMU, 'iommufd', '/dev/iommu');
  s.open(fd, 'device', `/dev/vfio/devices/${node}`);
  return s;
}

/** … binds the device, and allocates and attaches an address space. */
export function attached(): ProposalSession {
  const s = opened();
  bind(s, DEVICE);
  alloc(s);
  attach(s, DEVICE);
  return s;
}

export const EBUSY = 16;
export const EINVAL = 22;
export const ENODEV = 19;
export const ENOTTY = 25;
export const EFAULT = 14;
export const EEXIST = 17;
