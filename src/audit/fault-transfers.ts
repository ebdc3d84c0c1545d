import type { Kernel } from '../model/index.ts';
import { predictedRead } from '../model/index.ts';
import type { Call, ReadCall, WriteCall } from '../trace/index.ts';
import {
  IOMMU_HWPT_PAGE_RESPONSE,
  IOMMU_HWPT_PGFAULT,
  IOMMU_PGFAULT_FLAGS,
  offsetsOf,
} from '../uapi/index.ts';

const FAULT = offsetsOf(IOMMU_HWPT_PGFAULT);
const FAULT_BYTES = IOMMU_HWPT_PGFAULT.sizeBytes;
const RESPONSE = offsetsOf(IOMMU_HWPT_PAGE_RESPONSE);
const RESPONSE_BYTES = IOMMU_HWPT_PAGE_RESPONSE.sizeBytes;
/** Codes of an answer in words; a code that the kernel does not know ends the write. */
const CODES: readonly string[] = ['success', 'invalid'];

/** Told of each page request with a PASID that was read, and of each group of them that was answered. */
export interface FaultListener {
  read(context: number, device: number, pasid: number): void;
  answered(context: number, device: number, pasid: number, code: string): void;
}

interface Delivered {
  readonly device: number;
  readonly pasid: number;
}

/**
 * Looks at reads and writes of fault queues: at what was recorded, or else at what the model gives. On real
 * hardware nothing else tells of a page request, and an answer names only the cookie of the group.
 */
export function createFaultWatch(kernel: Kernel, listener: FaultListener): (call: Call) => void {
  /** Groups that were read and not answered, by context, queue and cookie. */
  const waiting = new Map<string, Delivered>();

  const isDevice = (context: number, id: number): boolean =>
    kernel.state.contexts[context]?.objects[id]?.type === 'device';

  const read = (call: ReadCall, context: number, queue: number): void => {
    const bytes = call.replied && call.out instanceof Uint8Array ? call.out : predictedRead(kernel);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at + FAULT_BYTES <= bytes.length; at += FAULT_BYTES) {
      const device = view.getUint32(at + FAULT.dev_id, true);
      const hasPasid = (view.getUint32(at + FAULT.flags, true) & IOMMU_PGFAULT_FLAGS.PASID_VALID) !== 0;
      // A device that was unbound since can not be named any more.
      if (!hasPasid || !isDevice(context, device)) continue;
      const pasid = view.getUint32(at + FAULT.pasid, true);
      waiting.set(`${context}/${queue}/${view.getUint32(at + FAULT.cookie, true)}`, { device, pasid });
      listener.read(context, device, pasid);
    }
  };

  const write = (call: WriteCall, context: number, queue: number): void => {
    if (!(call.arg instanceof Uint8Array)) return;
    const { reply } = kernel;
    const done = call.replied ? call.ret : reply.modelled ? reply.ret : 0;
    const view = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
    for (let at = 0; at + RESPONSE_BYTES <= Math.min(done, call.arg.length); at += RESPONSE_BYTES) {
      const key = `${context}/${queue}/${view.getUint32(at + RESPONSE.cookie, true)}`;
      const group = waiting.get(key);
      if (group === undefined) continue;
      waiting.delete(key);
      const code = CODES[view.getUint32(at + RESPONSE.code, true)] ?? 'unknown';
      if (isDevice(context, group.device)) listener.answered(context, group.device, group.pasid, code);
    }
  };

  return (call) => {
    if (call.op !== 'read' && call.op !== 'write') return;
    if (call.kind !== 'fault') return;
    const file = kernel.state.files[kernel.state.processes[call.pid]?.descriptors[call.fd] ?? 0];
    const context = kernel.state.contexts[file?.context ?? 0];
    if (file === undefined || context === undefined) return;
    if ('arg' in call) write(call, context.id, file.object);
    else read(call, context.id, file.object);
  };
}
