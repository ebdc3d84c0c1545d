import type { Kernel } from '../model/index.ts';
import type { Call } from '../trace/index.ts';
import {
  CMD,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  offsetsOf,
  unionOffsetsOf,
  VFIO_ATTACH_FLAGS,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
} from '../uapi/index.ts';

const ATTACH = offsetsOf(VFIO_DEVICE_ATTACH_IOMMUFD_PT);
const TEST = offsetsOf(IOMMU_TEST_CMD);
const CHANGE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.PASID_ATTACH);

/** A request for a PASID that the kernel refused. */
export interface RefusedAttach {
  readonly context: number;
  readonly device: number;
  readonly pasid: number;
  /** Id of the reason; null when the model would not refuse. */
  readonly reason: string | null;
}

/** Whether the call asked for a PASID in vain; null when not, and where no device of a context is meant. */
export function findRefusedAttach(kernel: Kernel, call: Call): RefusedAttach | null {
  if (call.op !== 'ioctl' || call.arg === null) return null;
  if (call.cmd !== CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT && call.cmd !== CMD.IOMMU_TEST_CMD) return null;
  const { reply } = kernel;
  const isRefused = call.replied ? call.errno !== 0 : reply.modelled && reply.errno !== 0;
  if (!isRefused) return null;
  const view = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
  const file = kernel.state.files[kernel.state.processes[call.pid]?.descriptors[call.fd] ?? 0];
  if (file === undefined) return null;
  const asked =
    call.cmd === CMD.IOMMU_TEST_CMD ? ofSelftest(kernel, file.context, view) : ofVfio(kernel, file, view);
  return asked === null ? null : { ...asked, reason: reply.reason?.id ?? null };
}

function ofVfio(kernel: Kernel, file: Kernel['state']['files'][number], view: DataView) {
  if (file.kind !== 'device' || view.byteLength < VFIO_DEVICE_ATTACH_IOMMUFD_PT.sizeBytes) return null;
  if ((view.getUint32(ATTACH.flags, true) & VFIO_ATTACH_FLAGS.PASID) === 0) return null;
  const bound = kernel.state.vfio.devices[file.object];
  if (bound === undefined || bound.context === 0) return null;
  return { context: bound.context, device: bound.object, pasid: view.getUint32(ATTACH.pasid, true) };
}

function ofSelftest(kernel: Kernel, context: number, view: DataView) {
  if (view.byteLength < IOMMU_TEST_CMD.sizeBytes) return null;
  const op = view.getUint32(TEST.op, true);
  if (op !== IOMMU_TEST_OP.PASID_ATTACH && op !== IOMMU_TEST_OP.PASID_REPLACE) return null;
  const object = kernel.state.contexts[context]?.objects[view.getUint32(TEST.id, true)];
  if (object?.type !== 'selftest') return null;
  return { context, device: object.device, pasid: view.getUint32(CHANGE.pasid, true) };
}
