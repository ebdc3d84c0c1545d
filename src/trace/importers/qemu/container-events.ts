import { CMD, offsetsOf, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../../uapi/index.ts';
import { structOf } from '../struct-bytes.ts';
import type { EventHandler } from './event-handler.ts';
import { type QemuSession, UNKNOWN_CONTAINER_FD } from './session.ts';

/**
 * Events of the VFIO container that QEMU has had from the beginning (hw/vfio/trace-events: listener, vIOMMU
 * notifier, groups). They are traced before the ioctl and name neither container nor result. Under iommufd
 * the same events come too, and `iommufd_backend_*` then tells the calls.
 */

const MAP = offsetsOf(VFIO_IOMMU_MAP_DMA);
const UNMAP = offsetsOf(VFIO_IOMMU_UNMAP_DMA);
const READ = 1;
const ALL = 1n << 64n;
/** The smallest page of all machines: ranges that it does not divide are never mapped. */
const PAGE_BYTES = 4096n;

/**
 * Whether a range can be mapped at all: QEMU leaves regions of devices alone that are not in whole pages.
 */
export function isMappable(start: bigint, size: bigint): boolean {
  return start % PAGE_BYTES === 0n && size % PAGE_BYTES === 0n && size > 0n;
}

/** A map of the container; without an address where the vIOMMU told it. */
export function mapDma(session: QemuSession, iova: bigint, size: bigint, va: bigint | null): void {
  const sizeBytes = VFIO_IOMMU_MAP_DMA.sizeBytes;
  const arg = structOf(sizeBytes)
    .u32(MAP.argsz, sizeBytes)
    .u32(MAP.flags, READ)
    .u64(MAP.vaddr, va ?? 0n)
    .u64(MAP.iova, iova)
    .u64(MAP.size, size).bytes;
  const missing = ['fd', 'arg.flags', 'memory', ...(va === null ? ['arg.vaddr'] : [])];
  const cmd = CMD.VFIO_IOMMU_MAP_DMA;
  session.ioctl({ fd: UNKNOWN_CONTAINER_FD, kind: 'container', cmd, arg, out: null, result: null, missing });
}

/** An unmap of the container; all of the address space goes in two halves, as its size has 65 bits. */
export function unmapDma(session: QemuSession, iova: bigint, size: bigint): void {
  if (size === ALL) {
    unmapDma(session, 0n, ALL / 2n);
    unmapDma(session, ALL / 2n, ALL / 2n);
    return;
  }
  const sizeBytes = 24;
  const arg = structOf(sizeBytes)
    .u32(UNMAP.argsz, sizeBytes)
    .u64(UNMAP.iova, iova)
    .u64(UNMAP.size, size).bytes;
  const cmd = CMD.VFIO_IOMMU_UNMAP_DMA;
  const missing = ['fd'];
  session.ioctl({ fd: UNKNOWN_CONTAINER_FD, kind: 'container', cmd, arg, out: null, result: null, missing });
}

const closes =
  (kind: 'container' | 'group' | 'device'): EventHandler =>
  (session, values) => {
    const fd = values.signed('fd');
    if (fd === null) return false;
    if (fd < 0) return 'no call';
    session.close(fd, kind);
    return true;
  };

const attachGroup: EventHandler = (session, values) => {
  const group = values.signed('group_id');
  if (group === null) return false;
  if (group < 0) return 'no call';
  session.open(`/dev/vfio/${group}`, 'group', null);
  return true;
};

/** Events of groups and containers under the names that they had: 7.2, 8.2 and 10.1. */
export const CONTAINER_EVENTS: Readonly<Record<string, EventHandler>> = {
  vfio_realize: attachGroup,
  vfio_attach_device: attachGroup,
  vfio_device_attach: attachGroup,
  vfio_disconnect_container: closes('container'),
  vfio_container_disconnect: closes('container'),
  vfio_put_group: closes('group'),
  vfio_group_put: closes('group'),
  vfio_put_base_device: closes('device'),
  vfio_device_put: closes('device'),
};

const GROUP = /^\s*\((?<name>.+)\) group (?<group_id>-?\d+)/;
const CLOSE = /^close \S+->fd=(?<fd>-?\d+)/;
const RANGE = /0x(?<start>[0-9a-f]+) - 0x(?<end>[0-9a-f]+)/;

export const CONTAINER_PATTERNS: Readonly<Record<string, RegExp>> = {
  vfio_realize: GROUP,
  vfio_attach_device: GROUP,
  vfio_device_attach: GROUP,
  vfio_disconnect_container: CLOSE,
  vfio_container_disconnect: CLOSE,
  vfio_put_group: CLOSE,
  vfio_group_put: CLOSE,
  vfio_put_base_device: CLOSE,
  vfio_device_put: CLOSE,
};

/** A range as an event tells it: first address, and bytes. */
export interface EventRange {
  readonly start: bigint;
  readonly size: bigint;
}

/** Reads `0xSTART - 0xEND`, or the arguments of the simple backend. */
export function rangeOf(start: bigint | null, last: bigint | null): EventRange | null {
  if (start === null || last === null || last < start) return null;
  return { start, size: last - start + 1n };
}

/** Reads the range out of the text of the log backend. */
export function rangeIn(text: string): EventRange | null {
  const { start, end } = RANGE.exec(text)?.groups ?? {};
  if (start === undefined || end === undefined || start.length > 16 || end.length > 16) return null;
  return rangeOf(BigInt(`0x${start}`), BigInt(`0x${end}`));
}
