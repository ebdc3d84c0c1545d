import { chooseProfile, createKernel, execute, type Kernel, predictedStruct } from '../src/model/index.ts';
import type { Call, IoctlCall } from '../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
} from '../src/uapi/index.ts';
import { createRandom, type Random } from './random.ts';

/** Generated traces. The model answers each request, so that a replay of the trace has no divergence. */

const PID = 1000;
const FD = 3;
const PAGE = 4096n;
/** READABLE | WRITEABLE; with FIXED_IOVA one more. */
const AUTOMATIC = 6;
const FIXED = 7;
/** Mock IOVAs lie in 0x1000000..0x7fffffff: room for this many slots of 16 pages. */
const SLOTS = 32_000;
const SLOT_BYTES = 16n * PAGE;
const APERTURE = 0x1000000n;
const USER_MEMORY = 0x7f0000000000n;

export type TraceKind = 'map-unmap' | 'attach-detach' | 'id-churn';

interface Session {
  readonly kernel: Kernel;
  readonly random: Random;
  readonly take: (call: Call) => void;
  /** Number of the last call. */
  seq: number;
}

/** A trace of about `count` calls. */
export function generateTrace(kind: TraceKind, seed: number, count: number): Call[] {
  const calls: Call[] = [];
  streamTrace(kind, seed, count, (call) => void calls.push(call));
  return calls;
}

/** The same call by call, for a trace that does not fit into memory. */
export function streamTrace(kind: TraceKind, seed: number, count: number, take: (call: Call) => void): void {
  const kernel = createKernel(chooseProfile('6.12', 4096).profile);
  const session: Session = { kernel, random: createRandom(seed), take, seq: 0 };
  open(session);
  const ioas = field(ioctl(session, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})), 8);
  if (kind === 'map-unmap') mapUnmap(session, ioas, count);
  else if (kind === 'attach-detach') attachDetach(session, ioas, count);
  else idChurn(session, count);
}

function open({ kernel, take }: Session): void {
  const call: Call = {
    op: 'open',
    seq: 0,
    pid: PID,
    tid: null,
    tNs: null,
    extra: null,
    replied: true,
    ret: FD,
    errno: 0,
    fd: FD,
    kind: 'iommufd',
    path: '/dev/iommu',
    flags: 2n,
  };
  execute(kernel, call);
  take(call);
}

/** Appends an ioctl with the model's answer; gives back the struct after it. */
function ioctl(session: Session, cmd: number, arg: Uint8Array): Uint8Array {
  session.seq += 1;
  const request: IoctlCall = {
    op: 'ioctl',
    seq: session.seq,
    pid: PID,
    tid: null,
    tNs: null,
    extra: null,
    replied: true,
    ret: 0,
    errno: 0,
    fd: FD,
    kind: 'iommufd',
    cmd,
    argp: 0x7ffc00001000n,
    argFault: false,
    arg,
    out: null,
    mem: [],
    newFd: null,
  };
  const { ret, errno } = execute(session.kernel, request);
  const after = predictedStruct(session.kernel, request)!;
  const out = Buffer.compare(after, arg) === 0 ? arg : after;
  session.take({ ...request, ret, errno, out });
  return out;
}

function field(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/**
 * Maps of 1 to 16 pages at fixed and chosen IOVAs, and unmaps, with a domain attached; up to 32,000 live
 * areas.
 */
function mapUnmap(session: Session, ioas: number, count: number): void {
  const { random } = session;
  mockDomain(session, ioas);
  const live = new Uint8Array(SLOTS);
  while (session.seq + 1 < count) {
    const slot = random.below(SLOTS);
    const iova = APERTURE + BigInt(slot) * SLOT_BYTES;
    if (live[slot] === 1) {
      ioctl(
        session,
        CMD.IOMMU_IOAS_UNMAP,
        buildStruct(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova, length: SLOT_BYTES }),
      );
      live[slot] = 0;
      continue;
    }
    const length = BigInt(1 + random.below(16)) * PAGE;
    const user_va = USER_MEMORY + BigInt(random.below(1 << 20)) * PAGE;
    ioctl(
      session,
      CMD.IOMMU_IOAS_MAP,
      buildStruct(IOMMU_IOAS_MAP, { flags: FIXED, ioas_id: ioas, user_va, length, iova }),
    );
    live[slot] = 1;
    if (random.below(64) === 0) mapAnywhere(session, ioas, user_va);
  }
}

/** A map whose IOVA the kernel chooses, and its unmap. */
function mapAnywhere(session: Session, ioas: number, user_va: bigint): void {
  const request = buildStruct(IOMMU_IOAS_MAP, { flags: AUTOMATIC, ioas_id: ioas, user_va, length: PAGE });
  const after = ioctl(session, CMD.IOMMU_IOAS_MAP, request);
  const iova = new DataView(after.buffer, after.byteOffset).getBigUint64(32, true);
  ioctl(session, CMD.IOMMU_IOAS_UNMAP, buildStruct(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova, length: PAGE }));
}

function mockDomain(session: Session, ioas: number): { stdev: number; idev: number } {
  const request = buildStruct(IOMMU_TEST_CMD, { op: IOMMU_TEST_OP.MOCK_DOMAIN, id: ioas });
  const after = ioctl(session, CMD.IOMMU_TEST_CMD, request);
  return { stdev: field(after, 16), idev: field(after, 24) };
}

/** Mock devices moved between hardware page tables and IOASes. */
function attachDetach(session: Session, ioas: number, count: number): void {
  const { random } = session;
  const devices = Array.from({ length: 8 }, () => mockDomain(session, ioas));
  const targets = [ioas];
  for (let index = 0; index < 4; index += 1) {
    const idev = devices[index]!.idev;
    const made = ioctl(
      session,
      CMD.IOMMU_HWPT_ALLOC,
      buildStruct(IOMMU_HWPT_ALLOC, { dev_id: idev, pt_id: ioas }),
    );
    targets.push(field(made, 16));
  }
  while (session.seq + 1 < count) {
    const device = devices[random.below(devices.length)]!;
    const target = targets[random.below(targets.length)]!;
    const request = buildStruct(IOMMU_TEST_CMD, { op: IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, id: device.stdev });
    new DataView(request.buffer).setUint32(16, target, true);
    ioctl(session, CMD.IOMMU_TEST_CMD, request);
  }
}

/** IOASes made and destroyed: the lowest free id over and over. */
function idChurn(session: Session, count: number): void {
  const { random } = session;
  const live: number[] = [];
  while (session.seq + 1 < count) {
    if (live.length < 64 || (live.length < 1024 && random.below(2) === 0)) {
      live.push(field(ioctl(session, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})), 8));
      continue;
    }
    const at = random.below(live.length);
    ioctl(session, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id: live[at]! }));
    live[at] = live[live.length - 1]!;
    live.pop();
  }
}

/** A kernel with one open /dev/iommu and IOAS 1, and a call to reuse. */
export function openKernel(): {
  kernel: Kernel;
  request: { -readonly [K in keyof IoctlCall]: IoctlCall[K] };
} {
  const [open, alloc] = generateTrace('map-unmap', 1, 3) as [Call, IoctlCall];
  const kernel = createKernel(chooseProfile('6.12', 4096).profile);
  execute(kernel, open);
  execute(kernel, alloc);
  return { kernel, request: { ...alloc } };
}
