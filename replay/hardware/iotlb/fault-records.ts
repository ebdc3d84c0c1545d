import type { Kernel } from '../../../src/model/index.ts';
import { type ByteString, type Call, isSkipped } from '../../../src/trace/index.ts';
import { blockedFault, type HardwareFault, walkFault } from '../faults.ts';
import type { AccessAnswer } from './access.ts';
import { deviceOf, type LiveState } from './live-state.ts';
import { vtdFacts } from './vtd-facts.ts';

/** What the hardware reports: accesses that it refused, and pages that devices asked for (PRI). */

/** One fault record. */
export interface FaultRecord {
  readonly seq: number;
  readonly device: number;
  readonly pasid: number;
  /** Page of 4096 bytes. */
  readonly page: number;
  readonly access: 'r' | 'w' | 'x';
  /** Reason as the hardware numbers it; null for a guest's own fault, which is the guest's to number. */
  readonly fault: HardwareFault | null;
}

/** The record of an access that nothing lets through; null for another. */
export function faultRecord(state: LiveState, answer: AccessAnswer): FaultRecord | null {
  const { seq, device, pasid, page, access, outcome, walk } = answer;
  if (outcome !== 'fault' || walk.fault === null) return null;
  const record = { seq, device, pasid, page, access };
  if (walk.fault === 'guest') return { ...record, fault: null };
  const { name, driver } = deviceOf(state, device).iommu;
  const scalable = driver === 'vtd' && vtdFacts(state, new Map(), name).scalable === true;
  const format =
    walk.tag === null ? '' : (state.domains.get(Number(walk.tag.slice(1)))?.table.format.name ?? '');
  const context = { driver, scalable, format };
  const fault =
    walk.fault === 'blocked' ? blockedFault(context, access) : walkFault(context, walk.fault, access);
  return { ...record, fault };
}

/** A page that a device asked for, as user space got to know of it: struct iommu_hwpt_pgfault. */
export interface PageRequest {
  /** Record of the read that delivered it. */
  readonly seq: number;
  /** Object id of the device. */
  readonly device: number;
  readonly pasid: number;
  readonly group: number;
  /** IOMMU_PGFAULT_PERM: read 1, write 2, execute 4, privileged 8. */
  readonly permissions: number;
  readonly page: number;
  readonly bytes: number;
  /** Names the group until it is answered; the same number may come again then. */
  readonly cookie: number;
  /** The last of its group: the device waits for an answer to the group. */
  readonly isLast: boolean;
}

/** An answer of user space: struct iommu_hwpt_page_response. */
export interface PageResponse {
  readonly seq: number;
  readonly cookie: number;
  /** IOMMUFD_PAGE_RESP: 0 success, 1 invalid. */
  readonly code: number;
  /** What it answers; empty when nothing was asked under this cookie. */
  readonly requests: readonly PageRequest[];
}

/** Requests of all fault queues that user space has read and not yet answered, by queue and cookie. */
export interface PageRequestQueue {
  /** Takes in a read or write of a fault queue's descriptor. */
  take(kernel: Kernel, call: Call): { readonly asked: PageRequest[]; readonly answered: PageResponse[] };
  /** What devices still wait for, in the order in which it was asked. */
  waiting(): PageRequest[];
}

const REQUEST_BYTES = 40;
const RESPONSE_BYTES = 8;
/** IOMMU_PGFAULT_FLAGS_LAST_PAGE. */
const LAST_PAGE_FLAG = 2;

export function createPageRequestQueue(): PageRequestQueue {
  const open = new Map<string, PageRequest[]>();
  return {
    take(kernel, call) {
      const asked: PageRequest[] = [];
      const answered: PageResponse[] = [];
      if (call.op !== 'read' && call.op !== 'write') return { asked, answered };
      if (call.kind !== 'fault' || call.ret <= 0) return { asked, answered };
      const file = kernel.state.processes[call.pid]?.descriptors[call.fd] ?? 0;
      if ('out' in call) {
        for (const view of structs(call.out, call.ret, REQUEST_BYTES)) {
          const request = requestOf(call.seq, view);
          asked.push(request);
          const key = `${file}:${request.cookie}`;
          open.set(key, [...(open.get(key) ?? []), request]);
        }
        return { asked, answered };
      }
      for (const view of structs(call.arg, call.ret, RESPONSE_BYTES)) {
        const cookie = view.getUint32(0, true);
        const requests = open.get(`${file}:${cookie}`) ?? [];
        open.delete(`${file}:${cookie}`);
        answered.push({ seq: call.seq, cookie, code: view.getUint32(4, true), requests });
      }
      return { asked, answered };
    },
    waiting: () => [...open.values()].flat().sort((a, b) => a.seq - b.seq),
  };
}

/** Whole structs among the bytes that were transferred. */
function structs(bytes: ByteString | null, transferred: number, size: number): DataView[] {
  if (bytes === null || isSkipped(bytes)) return [];
  const count = Math.floor(Math.min(bytes.length, transferred) / size);
  return Array.from(
    { length: count },
    (_, at) => new DataView(bytes.buffer, bytes.byteOffset + at * size, size),
  );
}

function requestOf(seq: number, view: DataView): PageRequest {
  return {
    seq,
    device: view.getUint32(4, true),
    pasid: view.getUint32(8, true),
    group: view.getUint32(12, true),
    permissions: view.getUint32(16, true),
    page: Number(view.getBigUint64(24, true) >> 12n),
    bytes: view.getUint32(32, true),
    cookie: view.getUint32(36, true),
    isLast: (view.getUint32(0, true) & LAST_PAGE_FLAG) !== 0,
  };
}
