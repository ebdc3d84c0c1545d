import {
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  machineOf,
  NO_EFFECTS,
  predictedStruct,
} from '../src/model/index.ts';
import {
  type Call,
  EMPTY_HEADER,
  type IoctlCall,
  parseTopology,
  recordToCall,
  type TraceHeader,
} from '../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_TEST_CMD,
  IOMMU_TEST_DEVICE_FLAGS,
  IOMMU_TEST_OP,
  unionOffsetsOf,
} from '../src/uapi/index.ts';
import { createRandom, type Random } from './random.ts';

/**
 * Traces in which PASIDs come and go. The model answers each request, so that a replay has no divergence;
 * calls are made one by one, since a million cycles do not fit into memory.
 */

/**
 * `core`: the functions of the PASID core (IOASID V4): alloc, attach, detach, free. `attach`: a device that
 * is attached to an address space under a PASID of the guest (May 2021), which allocates the number, and
 * detached, which frees it. `merged`: PASIDs of mock devices in iommufd, which user space picks.
 */
export type CycleKind = 'core' | 'attach' | 'merged';

export interface CycleTrace {
  readonly header: TraceHeader;
  /** Calls of the trace, beginning with those that set it up. */
  calls(): Generator<Call, void, undefined>;
}

const PID = 1000;
const FD = 3;
const HWPT_ALLOC_PASID = 8;
const DEVICE_FD = 10;
/** PASIDs that are held at once, at most. */
const HELD = 256;

const KERNELS: Readonly<Record<CycleKind, string>> = {
  core: 'ioasid-v4',
  attach: 'proposal-2021-05',
  merged: '7.3',
};

/** A trace of so many cycles: each PASID is allocated, attached, detached and freed. */
export function cycleTrace(kind: CycleKind, seed: number, cycles: number): CycleTrace {
  const device = {
    path: '/dev/vfio/devices/nic',
    bdf: '0000:01:00.0',
    group: 1,
    driver: 'vfio-pci',
    pasid: true,
  };
  const topology =
    kind === 'merged' ? EMPTY_HEADER.topology : parseTopology({ iommu: 'vtd', devices: [device] });
  const header: TraceHeader = { ...EMPTY_HEADER, kernel: KERNELS[kind], topology };
  return {
    header,
    *calls() {
      const { profile } = chooseProfile(header.kernel, 4096);
      const kernel = createKernel(profile, true, NO_EFFECTS, machineOf(header));
      const session: Session = { kernel, random: createRandom(seed), seq: 0 };
      yield* RUNS[kind](session, cycles);
    },
  };
}

interface Session {
  readonly kernel: Kernel;
  readonly random: Random;
  seq: number;
}

/** One call with the model's answer. */
function answered({ kernel }: Session, call: Call): Call {
  const { ret, errno, out, reason } = execute(kernel, call);
  if (errno !== 0) throw new Error(`call ${call.seq} is refused: ${reason?.id}`);
  return { ...call, ret, errno, ...(call.op === 'call' ? { out: out ?? {} } : {}), replied: true } as Call;
}

type Args = Readonly<Record<string, number | string | boolean | readonly string[]>>;

function apiCall(session: Session, name: string, fd: number, args: Args): Call {
  session.seq += 1;
  const generation = session.kernel.profile.name;
  const record = { op: 'call', pid: PID, generation, name, ...(fd < 0 ? {} : { fd }), args };
  return answered(session, recordToCall(record, session.seq)!);
}

const RUNS: Readonly<
  Record<CycleKind, (session: Session, cycles: number) => Generator<Call, void, undefined>>
> = { core: coreCycles, attach: attachCycles, merged: mergedCycles };

/** Takes numbers until enough are held, then gives a random one back for each that is taken. */
function* cycle(
  { random }: Session,
  cycles: number,
  take: (unused: number) => readonly [number, readonly Call[]],
  give: (id: number) => readonly Call[],
): Generator<Call, void, undefined> {
  const held: number[] = [];
  // Given back longest ago first, where user space picks the number.
  const unused = Array.from({ length: 2 * HELD }, (_, index) => index + 1);
  for (let nth = 0; nth < cycles; nth += 1) {
    if (held.length === HELD) {
      const at = random.below(HELD);
      unused.push(held[at]!);
      yield* give(held[at]!);
      held[at] = held[HELD - 1]!;
      held.pop();
    }
    const [id, calls] = take(unused.shift()!);
    held.push(id);
    yield* calls;
  }
  for (const id of held) yield* give(id);
}

function* coreCycles(session: Session, cycles: number): Generator<Call, void, undefined> {
  const on = (name: string, args: Args): Call => apiCall(session, name, -1, args);
  yield on('ioasid_set_alloc', { token: PID, quota: 1024, type: 2 });
  // One number stays, so that the set does.
  yield on('ioasid_alloc', { set: 1, min: 1, max: 0xfffff });
  yield* cycle(
    session,
    cycles,
    () => {
      const alloc = on('ioasid_alloc', { set: 1, min: 1, max: 0xfffff }) as Call & { ret: number };
      const devices = ['0000:01:00.0'];
      return [alloc.ret, [alloc, on('ioasid_attach_data', { id: alloc.ret, owner: 'vt-d', devices })]];
    },
    (id) => [on('ioasid_detach_data', { id }), on('ioasid_free', { set: 1, id })],
  );
}

function* attachCycles(session: Session, cycles: number): Generator<Call, void, undefined> {
  const open = (fd: number, kind: string, path: string): Call => {
    session.seq += 1;
    const record = { op: 'open', pid: PID, fd, kind, path, flags: '0x2', ret: fd, errno: 0 };
    return answered(session, recordToCall(record, session.seq)!);
  };
  const on = (name: string, fd: number, args: Args): Call => apiCall(session, name, fd, args);
  yield open(FD, 'iommufd', '/dev/ioasid');
  yield open(DEVICE_FD, 'device', '/dev/vfio/devices/nic');
  yield on('VFIO_BIND_IOASID_FD', DEVICE_FD, { ioasid_fd: FD });
  yield on('IOASID_ALLOC', FD, {});
  yield on('VFIO_ATTACH_IOASID', DEVICE_FD, { ioasid: 0 });
  yield on('IOASID_CREATE_NESTING', FD, { parent_ioasid: 0 });
  const routed = (id: number): Args => ({ ioasid: 1, user_pasid_flag: true, user_pasid: id });
  yield* cycle(
    session,
    cycles,
    (id) => {
      return [id, [on('VFIO_ATTACH_IOASID', DEVICE_FD, routed(id))]];
    },
    (id) => [on('VFIO_DETACH_IOASID', DEVICE_FD, routed(id))],
  );
}

/** Mock devices of the selftest: an attachment takes the number, a detachment gives it back. */
function* mergedCycles(session: Session, cycles: number): Generator<Call, void, undefined> {
  const ioctl = (cmd: number, arg: Uint8Array): IoctlCall => {
    session.seq += 1;
    const record = { op: 'ioctl', pid: PID, fd: FD, kind: 'iommufd', cmd, argp: '0x7ffc00001000', mem: [] };
    const call = { ...(recordToCall(record, session.seq) as IoctlCall), arg };
    const { ret } = answered(session, call) as IoctlCall;
    const out = predictedStruct(session.kernel, call)!;
    return { ...call, replied: true, ret, out: Buffer.compare(out, arg) === 0 ? arg : out };
  };
  const selftest = (op: number, id: number, fields: Readonly<Record<string, number>>): IoctlCall => {
    const arg = buildStruct(IOMMU_TEST_CMD, { op, id });
    const view = new DataView(arg.buffer, arg.byteOffset);
    const offsets = unionOffsetsOf(IOMMU_TEST_CMD, op as typeof IOMMU_TEST_OP.PASID_ATTACH) as Readonly<
      Record<string, number>
    >;
    for (const [name, value] of Object.entries(fields)) view.setUint32(offsets[name]!, value, true);
    return ioctl(CMD.IOMMU_TEST_CMD, arg);
  };
  const u32 = ({ out }: IoctlCall, at: number): number =>
    new DataView((out as Uint8Array).buffer, (out as Uint8Array).byteOffset).getUint32(at, true);
  session.seq += 1;
  const open = {
    op: 'open',
    pid: PID,
    fd: FD,
    kind: 'iommufd',
    path: '/dev/iommu',
    flags: '0x2',
    ret: FD,
    errno: 0,
  };
  yield answered(session, recordToCall(open, session.seq)!);
  const ioas = ioctl(CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  yield ioas;
  const made = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS);
  const dev_flags = IOMMU_TEST_DEVICE_FLAGS.PASID;
  const mock = selftest(IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS, u32(ioas, 8), { dev_flags });
  yield mock;
  const [device, dev_id] = [u32(mock, made.out_stdev_id), u32(mock, made.out_idev_id)];
  const hwpt = buildStruct(IOMMU_HWPT_ALLOC, { flags: HWPT_ALLOC_PASID, dev_id, pt_id: u32(ioas, 8) });
  const table = ioctl(CMD.IOMMU_HWPT_ALLOC, hwpt);
  yield table;
  const pt_id = u32(table, 16);
  yield selftest(IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, device, { pt_id });
  yield* cycle(
    session,
    cycles,
    (pasid) => {
      return [pasid, [selftest(IOMMU_TEST_OP.PASID_ATTACH, device, { pasid, pt_id })]];
    },
    (pasid) => [selftest(IOMMU_TEST_OP.PASID_DETACH, device, { pasid })],
  );
}
