import { type Call, type IoctlCall, isSkipped, parseTopology, type Topology } from '../src/trace/index.ts';
import {
  CMD,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_INFO_TYPE,
  IOMMU_IOAS_IOVA_RANGES,
  offsetsOf,
} from '../src/uapi/index.ts';
import type { Store, TraceInfo } from '../store/index.ts';

/**
 * The machine of a capture whose header does not describe one: which devices there are is learned from what
 * the program opens, and the kind of their IOMMU from what the kernel answers. All else stays open, and is
 * learned where a reply tells.
 */

const INFO = offsetsOf(IOMMU_GET_HW_INFO);
const RANGES = offsetsOf(IOMMU_IOAS_IOVA_RANGES);
const RANGE_BYTES = 16;
/** Kinds of IOMMU by the type of their hardware information. */
const KIND_OF_TYPE: Readonly<Record<number, string>> = {
  [IOMMU_HW_INFO_TYPE.INTEL_VTD]: 'vtd',
  [IOMMU_HW_INFO_TYPE.ARM_SMMUV3]: 'smmuv3',
  [IOMMU_HW_INFO_TYPE.TEGRA241_CMDQV]: 'smmuv3',
  [IOMMU_HW_INFO_TYPE.AMD]: 'amd',
};
const KIND_OF_ARCH: Readonly<Record<string, string>> = { aarch64: 'smmuv3', riscv64: 'riscv' };

type Range = readonly [string, string, string];

/** Where the doorbells of interrupts lie on x86. */
const X86_MSI: Range = ['0xfee00000', '0xfeefffff', 'msi'];
/** HyperTransport: amd/iommu.c amd_iommu_get_resv_regions. */
const HYPERTRANSPORT: Range = ['0xfd00000000', '0xffffffffff', 'reserved'];
/** MSI_IOVA_BASE and MSI_IOVA_LENGTH of arm-smmu-v3.c. */
const ARM_MSI: Range = ['0x8000000', '0x80fffff', 'msi'];
/** What drivers reserve for every device. */
const RESERVED: Readonly<Record<string, readonly Range[]>> = {
  vtd: [X86_MSI],
  amd: [X86_MSI, HYPERTRANSPORT],
  smmuv3: [ARM_MSI],
  riscv: [],
};

export interface InferredTopology {
  readonly topology: Topology;
  /** What was assumed, as a sentence. */
  readonly says: string;
}

/** What calls tell of the machine, while they are read. */
interface Seen {
  /** Path of a device, or its group and name. */
  readonly devices: Map<string, { readonly path?: string; readonly bdf?: string; readonly group: number }>;
  readonly groups: Map<string, number>;
  kind: string | null;
  /** The call that told the kind. */
  toldBy: number;
  /** Hardware information without a type was answered. */
  hasNone: boolean;
  readonly gaps: Range[];
}

/**
 * The machine that a trace shows; null when its header describes one, or when it opens no VFIO device.
 * Without `replies` only requests are looked at, and the kind of the IOMMU is that of the architecture.
 */
export function inferTopology(store: Store, trace: TraceInfo, replies: boolean): InferredTopology | null {
  const { topology, arch } = trace.header;
  if (topology.iommu !== null || topology.devices.length > 0) return null;
  if (!store.opensKind(trace.id, ['device', 'group'])) return null;
  const seen: Seen = {
    devices: new Map(),
    groups: new Map(),
    kind: null,
    toldBy: 0,
    hasNone: false,
    gaps: [],
  };
  store.readCalls(trace.id, {}, (call) => look(seen, call, replies));
  for (const group of seen.groups.values()) {
    const members = [...seen.devices.values()];
    if (!members.some((device) => device.group === group)) seen.devices.set(`group ${group}`, { group });
  }
  if (seen.devices.size === 0) return null;
  const iommu = seen.kind ?? KIND_OF_ARCH[arch ?? ''] ?? (seen.hasNone ? 'amd' : 'vtd');
  const known = RESERVED[iommu] ?? [];
  const reserved = [...known, ...seen.gaps.filter((gap) => !known.some((range) => covers(range, gap)))];
  const devices = [...seen.devices.values()].map((device) => ({ ...device, instance: 'iommu0', reserved }));
  const because = seen.kind === null ? 'no call told its kind' : `call ${seen.toldBy} told its kind`;
  const who = devices.length === 1 ? 'the device is' : `the ${devices.length} devices are`;
  return {
    topology: parseTopology({ iommu, instances: [{ name: 'iommu0', inferred: true }], devices }),
    says: `no topology is recorded: ${who} taken to be behind one ${iommu} (${because})`,
  };
}

function look(seen: Seen, call: Call, replies: boolean): void {
  if (call.op !== 'open' && call.op !== 'ioctl') return;
  const worked = !replies || (call.replied && call.errno === 0);
  if (call.op === 'open') {
    if (!worked) return;
    const group = /^\/dev\/vfio\/(\d+)$/.exec(call.path);
    if (call.kind === 'group' && group !== null) seen.groups.set(`${call.pid} ${call.fd}`, Number(group[1]));
    // Groups that nobody named are of one device each; no number of the kernel is below zero.
    if (call.kind === 'device' && !seen.devices.has(call.path))
      seen.devices.set(call.path, { path: call.path, group: -2 - seen.devices.size });
    return;
  }
  if (call.kind === 'group' && call.cmd === CMD.VFIO_GROUP_GET_DEVICE_FD && worked) noteMember(seen, call);
  if (call.kind !== 'iommufd' || !replies || !call.replied) return;
  if (call.cmd === CMD.IOMMU_GET_HW_INFO && call.errno === 0) noteKind(seen, call);
  if (call.cmd === CMD.IOMMU_IOAS_IOVA_RANGES && call.errno === 0) noteGaps(seen, call);
}

function noteMember(seen: Seen, { pid, fd, arg }: IoctlCall): void {
  const group = seen.groups.get(`${pid} ${fd}`);
  const end = arg?.indexOf(0) ?? -1;
  if (arg === null || group === undefined || end < 0) return;
  const bdf = Buffer.from(arg.subarray(0, end)).toString('latin1').split(' ')[0]!;
  if (!seen.devices.has(bdf)) seen.devices.set(bdf, { bdf, group });
}

function noteKind(seen: Seen, { seq, out }: IoctlCall): void {
  if (out === null || out.length < INFO.out_data_type + 4) return;
  const type = new DataView(out.buffer, out.byteOffset, out.length).getUint32(INFO.out_data_type, true);
  if (type === IOMMU_HW_INFO_TYPE.NONE) seen.hasNone = true;
  const kind = KIND_OF_TYPE[type];
  if (kind === undefined || seen.kind !== null) return;
  seen.kind = kind;
  seen.toldBy = seq;
}

/** What lies between the ranges of an IOAS is reserved by a device. */
function noteGaps(seen: Seen, { out, mem }: IoctlCall): void {
  const ranges = mem[0]?.after;
  if (out === null || out.length < RANGES.num_iovas + 4 || ranges == null || isSkipped(ranges)) return;
  const count = new DataView(out.buffer, out.byteOffset, out.length).getUint32(RANGES.num_iovas, true);
  if (ranges.length < count * RANGE_BYTES) return;
  const view = new DataView(ranges.buffer, ranges.byteOffset, ranges.length);
  for (let index = 1; index < count; index += 1) {
    const first = view.getBigUint64((index - 1) * RANGE_BYTES + 8, true) + 1n;
    const last = view.getBigUint64(index * RANGE_BYTES, true) - 1n;
    const gap: Range = [`0x${first.toString(16)}`, `0x${last.toString(16)}`, 'reserved'];
    if (!seen.gaps.some((other) => covers(other, gap))) seen.gaps.push(gap);
  }
}

function covers(outer: Range, inner: Range): boolean {
  return BigInt(outer[0]) <= BigInt(inner[0]) && BigInt(inner[1]) <= BigInt(outer[1]);
}
