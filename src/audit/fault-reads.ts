import type { Kernel } from '../model/index.ts';
import { predictedRead } from '../model/index.ts';
import type { Call } from '../trace/index.ts';
import { IOMMU_HWPT_PGFAULT, IOMMU_PGFAULT_FLAGS, offsetsOf } from '../uapi/index.ts';

const FAULT = offsetsOf(IOMMU_HWPT_PGFAULT);
const FAULT_BYTES = IOMMU_HWPT_PGFAULT.sizeBytes;

/** Told of each page request that a read of a fault queue delivered with a PASID. */
export type FaultListener = (context: number, device: number, pasid: number) => void;

/**
 * Looks at reads of fault queues: what was recorded, or else what the model gives. On real hardware nothing
 * else tells of a page request.
 */
export function createFaultReader(kernel: Kernel, tell: FaultListener): (call: Call) => void {
  return (call) => {
    if (call.op !== 'read' || call.kind !== 'fault') return;
    const bytes = call.replied && call.out instanceof Uint8Array ? call.out : predictedRead(kernel);
    const file = kernel.state.files[kernel.state.processes[call.pid]?.descriptors[call.fd] ?? 0];
    const context = kernel.state.contexts[file?.context ?? 0];
    if (context === undefined) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at + FAULT_BYTES <= bytes.length; at += FAULT_BYTES) {
      const device = view.getUint32(at + FAULT.dev_id, true);
      const hasPasid = (view.getUint32(at + FAULT.flags, true) & IOMMU_PGFAULT_FLAGS.PASID_VALID) !== 0;
      // A device that was unbound since can not be named any more.
      if (!hasPasid || context.objects[device]?.type !== 'device') continue;
      tell(context.id, device, view.getUint32(at + FAULT.pasid, true));
    }
  };
}
