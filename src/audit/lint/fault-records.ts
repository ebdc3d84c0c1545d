import type { Kernel } from '../../model/index.ts';
import type { Call } from '../../trace/index.ts';
import { IOMMU_HWPT_PGFAULT, offsetsOf } from '../../uapi/index.ts';

const FAULT = offsetsOf(IOMMU_HWPT_PGFAULT);
const FAULT_BYTES = IOMMU_HWPT_PGFAULT.sizeBytes;
/** IOMMU_PGFAULT_FLAGS_PASID_VALID. */
const PASID_VALID = 1;

/** One struct iommu_hwpt_pgfault as a read returned it. */
export interface FaultRecord {
  readonly flags: number;
  readonly device: number;
  /** 0 when the request has none. */
  readonly pasid: number;
  readonly group: number;
  readonly cookie: number;
  readonly reserved: number;
}

/** The fault queue behind the descriptor of a read or write; null when it is none. */
export function faultQueueOf({ state }: Kernel, record: Call): { context: number; id: number } | null {
  if (!('fd' in record)) return null;
  const file = state.files[state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  return file?.kind === 'fault' ? { context: file.context, id: file.object } : null;
}

/** The records that a read returned, as recorded. */
export function faultRecords(record: Call): FaultRecord[] {
  if (record.op !== 'read' || record.ret <= 0 || !(record.out instanceof Uint8Array)) return [];
  const { out } = record;
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  const records: FaultRecord[] = [];
  const end = Math.min(record.ret, out.length);
  for (let at = 0; at + FAULT_BYTES <= end; at += FAULT_BYTES) {
    const flags = view.getUint32(at + FAULT.flags, true);
    records.push({
      flags,
      device: view.getUint32(at + FAULT.dev_id, true),
      pasid: (flags & PASID_VALID) === 0 ? 0 : view.getUint32(at + FAULT.pasid, true),
      group: view.getUint32(at + FAULT.grpid, true),
      cookie: view.getUint32(at + FAULT.cookie, true),
      reserved: view.getUint32(at + FAULT.__reserved, true),
    });
  }
  return records;
}
