import {
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  machineOf,
  NO_EFFECTS,
  predictedStruct,
} from '../../src/model/index.ts';
import { type JsonRecord, parseTopology, recordToCall } from '../../src/trace/index.ts';

/** What a call of a generation answered. */
export interface ProposalReply {
  readonly ret: number;
  readonly errno: number;
  readonly reason: string | null;
  readonly out: Readonly<Record<string, unknown>>;
  /** The struct after an ioctl. */
  readonly struct: Uint8Array | null;
}

/** A process of a generation that calls the model. */
export interface ProposalSession {
  readonly kernel: Kernel;
  open(fd: number, kind: string, path: string, pid?: number): ProposalReply;
  close(fd: number, kind: string, pid?: number): ProposalReply;
  call(name: string, fd: number, args?: JsonRecord, pid?: number): ProposalReply;
  ioctl(fd: number, kind: string, cmd: number, arg: Uint8Array | null, argp?: bigint): ProposalReply;
  read(fd: number, kind: string): ProposalReply;
  /** Any other record: a note, a fork, a process that is waited for. */
  record(record: JsonRecord, pid?: number): ProposalReply;
}

/** Begins a session on a machine with these devices (keys of a topology's devices). */
export function startProposal(
  generation: string,
  devices: readonly JsonRecord[],
  iommu = 'vtd',
): ProposalSession {
  const topology = parseTopology({ iommu, instances: [{ name: 'iommu0' }], devices });
  const { profile } = chooseProfile(generation, 4096);
  const kernel = createKernel(profile, true, NO_EFFECTS, machineOf({ topology, arch: 'x86_64' }));
  let seq = 0;
  const run = (record: JsonRecord, pid = 100): ProposalReply => {
    const call = recordToCall({ pid, ...record }, seq)!;
    seq += 1;
    const { ret, errno, reason, out = {}, modelled } = execute(kernel, call);
    if (!modelled) throw new Error(`the model does not know ${JSON.stringify(record)}`);
    const struct = call.op === 'ioctl' ? predictedStruct(kernel, call) : null;
    return { ret, errno, reason: reason?.id ?? null, out, struct };
  };
  return {
    kernel,
    open: (fd, kind, path, pid) => run({ op: 'open', fd, kind, path, flags: '0x2', ret: fd, errno: 0 }, pid),
    close: (fd, kind, pid) => run({ op: 'close', fd, kind }, pid),
    call: (name, fd, args = {}, pid) =>
      run({ op: 'call', generation, name, ...(fd < 0 ? {} : { fd }), args }, pid),
    ioctl: (fd, kind, cmd, arg, argp = 0x7ffc00001000n) =>
      run({
        op: 'ioctl',
        fd,
        kind,
        cmd,
        argp: `0x${argp.toString(16)}`,
        ...(arg === null ? {} : { arg: Buffer.from(arg).toString('hex') }),
        mem: [],
      }),
    read: (fd, kind) => run({ op: 'read', fd, kind, addr: '0x1000', len: 4 }),
    record: run,
  };
}

/** A device of the topology as VFIO drives it. */
export function deviceAt(bdf: string, group: number, node: string, more: JsonRecord = {}): JsonRecord {
  return { path: `/dev/vfio/devices/${node}`, bdf, group, driver: 'vfio-pci', ...more };
}
