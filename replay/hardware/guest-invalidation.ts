import type { Context, Kernel } from '../../src/model/index.ts';
import type { IoctlCall } from '../../src/trace/index.ts';
import { CMD, IOMMU_HWPT_INVALIDATE, IOMMU_VTD_INV_FLAGS, offsetsOf } from '../../src/uapi/index.ts';
import { type DriverOp, type GuestRange, nestedName } from './driver-op.ts';
import { guestCommands, guestEntries } from './smmu-guest-commands.ts';

/** What an HWPT_INVALIDATE of user space asks the hardware to forget, as far as the kernel took it. */

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;

const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
const EIO = 5;

/** Null for another call, one that the kernel refused whole, or one for an IOMMU that nobody asked for. */
export function invalidationOf(
  kernel: Kernel,
  call: IoctlCall,
  isOurs: (iommu: string) => boolean,
): WithoutSeq<DriverOp> | null {
  if (call.cmd !== CMD.IOMMU_HWPT_INVALIDATE || call.arg === null || !kernel.reply.modelled) return null;
  const process = kernel.state.processes[call.pid];
  const file = kernel.state.files[process?.descriptors[call.fd] ?? 0];
  const context = kernel.state.contexts[file?.context ?? 0];
  const struct = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
  if (context === undefined || struct.byteLength < IOMMU_HWPT_INVALIDATE.sizeBytes) return null;
  const target = context.objects[struct.getUint32(INVALIDATE.hwpt_id, true)];
  if (target?.type === 'viommu' && isOurs(target.iommu)) return guestOp(kernel, context, target, call);
  if (target?.type !== 'hwpt-nested' || target.driver !== 'vtd') return null;
  const parent = context.objects[target.parent];
  if (parent?.type !== 'hwpt-paging' || !isOurs(parent.domain.iommu)) return null;
  const ranges = rangesOf(call);
  return ranges.length === 0 ? null : { op: 'invalidate', nested: nestedName(context.id, target.id), ranges };
}

/** Commands that a guest gave and the kernel took, or took in part. */
function guestOp(
  kernel: Kernel,
  context: Context,
  viommu: { readonly hwpt: number; readonly vdevices: Readonly<Record<string, number>> },
  call: IoctlCall,
): WithoutSeq<DriverOp> | null {
  const { errno } = kernel.reply;
  if (errno !== 0 && errno !== EIO) return null;
  const parent = context.objects[viommu.hwpt];
  const commands = guestCommands(call);
  if (parent?.type !== 'hwpt-paging' || commands === null) return null;
  const streams = virtualStreams(context, Object.values(viommu.vdevices));
  return { op: 'guest', domain: parent.domain.key, commands, streams };
}

/** Stream ids have 32 bits: a vDEVICE with a larger virtual id can not be named by a command. */
function virtualStreams(context: Context, vdevices: readonly number[]): Map<number, number> {
  const streams = new Map<number, number>();
  for (const id of vdevices) {
    const vdevice = context.objects[id];
    if (vdevice?.type !== 'vdevice' || vdevice.virtPage >= 2 ** 20) continue;
    const device = context.objects[vdevice.device];
    if (device?.type === 'device') streams.set(vdevice.virtPage * 4096 + vdevice.virtOffset, device.physical);
  }
  return streams;
}

/** struct iommu_hwpt_vtd_s1_invalidate: addr, npages, flags, __reserved. */
const RANGE_BYTES = 24;
const EVERYTHING = 2n ** 64n - 1n;

/** `intel_nested_cache_invalidate_user`: the entries before the first that it refuses are done. */
function rangesOf(call: IoctlCall): GuestRange[] {
  const ranges: GuestRange[] = [];
  for (const entry of guestEntries(call, RANGE_BYTES) ?? []) {
    const address = entry.getBigUint64(0, true);
    const pages = entry.getBigUint64(8, true);
    const flags = entry.getUint32(16, true);
    const isRefused = (flags & ~IOMMU_VTD_INV_FLAGS.LEAF) !== 0 || entry.getUint32(20, true) !== 0;
    if (isRefused || (address & 0xfffn) !== 0n || (pages === EVERYTHING && address !== 0n)) break;
    ranges.push({
      page: Number(address >> 12n),
      pages: pages === EVERYTHING ? null : Number(pages),
      leaf: (flags & IOMMU_VTD_INV_FLAGS.LEAF) !== 0,
    });
  }
  return ranges;
}
