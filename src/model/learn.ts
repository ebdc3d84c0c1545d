import { type Call, type IoctlCall, isSkipped } from '../trace/index.ts';
import {
  CMD,
  ERRNO,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_CAP,
  IOMMU_IOAS_IOVA_RANGES,
  offsetsOf,
} from '../uapi/index.ts';
import { readOffset, readPage } from './address.ts';
import { fileOf } from './descriptors.ts';
import { addReserved, outsideAperture, removeReserved } from './iova-domains.ts';
import type { IovaRange } from './iova-space.ts';
import type { Kernel } from './kernel.ts';
import { isLimitOpen, learnLimit } from './learn-limit.ts';
import type { Context, HwptPaging, LearnedFacts } from './state.ts';
import { pciDevice } from './vfio/pci.ts';
import { learnPciRead, learnPciReply } from './vfio-pci/index.ts';

/**
 * What recorded replies tell of the hardware where the topology left it open. A fact that is learned is never
 * counted as predicted.
 */

const INFO = offsetsOf(IOMMU_GET_HW_INFO);
const RANGES = offsetsOf(IOMMU_IOAS_IOVA_RANGES);
const RANGE_BYTES = 16;

export interface Learned {
  /** Facts that are new. */
  readonly facts: number;
  /** The call was refused, or answered, without them: it can be asked again and changes nothing before. */
  readonly again: boolean;
}

const NOTHING: Learned = { facts: 0, again: false };

/** Learns from the recorded reply to the call executed last. */
export function learnReply(kernel: Kernel, record: Call): Learned {
  if (record.op === 'pread') {
    const device = deviceOf(kernel, record.pid, record.fd);
    return device === undefined || record.off === null
      ? NOTHING
      : { facts: learnPciRead(device.facts, record, record.off), again: false };
  }
  if (record.op !== 'ioctl') return NOTHING;
  const { rests, unknown, tailUnrecorded } = kernel.call;
  if (tailUnrecorded) return learnTail(kernel, record);
  if (rests.length > 0) return learnOpen(kernel, record);
  if (isLimitOpen(kernel, record)) {
    const facts = learnLimit(kernel, record);
    return { facts, again: facts > 0 };
  }
  if (kernel.reply.modelled && !unknown.some(({ guess }) => guess === null)) return NOTHING;
  const device = deviceOf(kernel, record.pid, record.fd);
  return device === undefined ? NOTHING : { facts: learnPciReply(kernel, device, record), again: false };
}

/** Bytes of a struct that were not recorded: a refusal for them, or another answer, tells what they are. */
function learnTail({ call, reply }: Kernel, record: IoctlCall): Learned {
  if (reply.errno !== ERRNO.E2BIG || record.errno === ERRNO.E2BIG) return NOTHING;
  call.tail = record.errno === ERRNO.EFAULT ? 'unreadable' : 'zero';
  return { facts: 1, again: true };
}

function deviceOf(kernel: Kernel, pid: number, fd: number) {
  const process = kernel.state.processes[pid];
  const file = process === undefined ? undefined : fileOf(kernel, process, fd);
  return process === undefined || file?.kind !== 'device' ? undefined : pciDevice(kernel, process, file);
}

/** Facts that the answer rested on: from what the reply says of them, else from success or failure. */
function learnOpen(kernel: Kernel, record: IoctlCall): Learned {
  const rests = [...kernel.call.rests];
  if (record.cmd === CMD.IOMMU_GET_HW_INFO && record.errno === 0) return learnHwInfo(kernel, record, rests);
  if (rests.some(({ fact }) => fact === 'aperture')) return learnAperture(kernel, record, rests);
  const names = rests.filter(({ fact }) => fact !== 'pasids' && fact !== 'topology' && fact !== 'hw info');
  if (kernel.reply.errno === 0) return NOTHING;
  const isWrong = record.errno !== kernel.reply.errno;
  for (const { owner, fact } of names) factsOf(kernel, owner).can[fact] = isWrong;
  return { facts: names.length, again: isWrong && names.length > 0 };
}

function factsOf(kernel: Kernel, owner: string): LearnedFacts {
  kernel.state.learned[owner] ??= { can: {} };
  return kernel.state.learned[owner];
}

type Rests = readonly { readonly owner: string; readonly fact: string }[];

function learnHwInfo(kernel: Kernel, { out, mem }: IoctlCall, rests: Rests): Learned {
  if (out === null || out.length < IOMMU_GET_HW_INFO.minBytes) return NOTHING;
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  const has = (bit: number): boolean =>
    out.length >= IOMMU_GET_HW_INFO.sizeBytes && (view.getUint32(INFO.out_capabilities, true) & bit) !== 0;
  let facts = 0;
  for (const { owner, fact } of rests) {
    const learned = factsOf(kernel, owner);
    if (fact === 'hw info') {
      const bytes = mem[0]?.after;
      const length = view.getUint32(INFO.data_len, true);
      if (bytes == null || isSkipped(bytes) || bytes.length < length) continue;
      learned.hwInfo = Buffer.from(bytes.subarray(0, length)).toString('hex');
    } else if (fact === 'pasids') {
      const log2 = out[INFO.out_max_pasid_log2]!;
      learned.pasids = log2 === 0 ? 0 : 2 ** log2;
    } else if (fact === 'dirty tracking') learned.can[fact] = has(IOMMU_HW_CAP.DIRTY_TRACKING);
    else if (fact === 'ATS') learned.can[fact] = !has(IOMMU_HW_CAP.PCI_ATS_NOT_SUPPORTED);
    else if (fact === 'PASID execution') learned.can[fact] = has(IOMMU_HW_CAP.PCI_PASID_EXEC);
    else if (fact === 'PASID privilege') learned.can[fact] = has(IOMMU_HW_CAP.PCI_PASID_PRIV);
    else continue;
    facts += 1;
  }
  return { facts, again: facts > 0 };
}

/** The ranges of an IOAS begin and end where the aperture of its page tables does. */
function learnAperture(kernel: Kernel, { mem, out, pid, fd }: IoctlCall, rests: Rests): Learned {
  const ranges = mem[0]?.after;
  if (out === null || ranges == null || isSkipped(ranges)) return NOTHING;
  const view = new DataView(ranges.buffer, ranges.byteOffset, ranges.length);
  const count = new DataView(out.buffer, out.byteOffset, out.length).getUint32(RANGES.num_iovas, true);
  const end = (count - 1) * RANGE_BYTES;
  if (count === 0 || end + RANGE_BYTES > ranges.length) return NOTHING;
  const aperture: IovaRange = {
    startPage: readPage(view, 0),
    startOffset: readOffset(view, 0),
    lastPage: readPage(view, end + 8),
    lastOffset: readOffset(view, end + 8),
  };
  for (const { owner } of rests) factsOf(kernel, owner).aperture = aperture;
  const process = kernel.state.processes[pid];
  const file = process === undefined ? undefined : fileOf(kernel, process, fd);
  const context = file === undefined ? undefined : kernel.state.contexts[file.context];
  if (context === undefined) return NOTHING;
  for (const { owner } of rests) narrow(kernel, context, owner, aperture);
  return { facts: rests.length, again: true };
}

/** Gives the page tables of an IOMMU the aperture that they turned out to have. */
function narrow(kernel: Kernel, context: Context, iommu: string, aperture: IovaRange): void {
  for (const hwpt of Object.values(context.objects)) {
    if (hwpt.type !== 'hwpt-paging' || hwpt.domain.iommu !== iommu) continue;
    const known: HwptPaging = { ...hwpt, domain: { ...hwpt.domain, aperture } };
    context.objects[hwpt.id] = known;
    const ioas = context.objects[hwpt.ioas];
    if (ioas?.type !== 'ioas') continue;
    removeReserved(kernel, ioas, `hwpt:${hwpt.id}`);
    addReserved(kernel, ioas, outsideAperture(known.domain, hwpt.id));
  }
}
