import { compareReply, type Verdict } from '../../replay/index.ts';
import { processOf } from '../../src/model/descriptors.ts';
import { chooseProfile, createKernel, execute, type Kernel } from '../../src/model/index.ts';
import {
  learnPciRead,
  learnPciReply,
  type PciDevice,
  vfioPciIoctl,
  vfioPciMmap,
  vfioPciTransfer,
} from '../../src/model/vfio-pci/index.ts';
import type { Call, IoctlCall, MmapCall, ReadCall, TraceHeader, WriteCall } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { createWorld, noteClose, noteGrant, noteOpen, pciDeviceOf, type World } from './vfio-pci-world.ts';

/** Runs vfio-pci's answers over the device calls of a capture and compares them with what was recorded. */

export interface Tally {
  readonly ioctls: Counts;
  /** pread and pwrite; what a pread reads is never known, so it is partial at best. */
  readonly transfers: Counts;
  readonly mappings: Counts;
  /** Facts taken from replies. */
  learned: number;
  /** Command and errno of each wrong answer. */
  readonly wrong: string[];
}

export interface Counts {
  /** Predicted whole. */
  predicted: number;
  /** Return value and errno predicted, part of the reply a fact not known. */
  partial: number;
  /** Return value and errno hang on a fact not known. */
  notModelled: number;
}

const MAP_SHARED = 1n;

/** Not vfio-pci's: binding and attaching. */
const OTHERS: readonly number[] = [
  CMD.VFIO_DEVICE_BIND_IOMMUFD,
  CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT,
];

export interface Drive {
  readonly world: World;
  readonly tally: Tally;
  readonly step: (call: Call) => void;
}

/** `known` are devices of an earlier drive, whose facts are kept. */
export function createDrive(
  header: TraceHeader,
  tally: Tally = createTally(),
  known: World['devices'] = new Map(),
): Drive {
  const kernel = createKernel(chooseProfile(header.kernel, header.pageSizeBytes).profile);
  const world = createWorld(header, known);
  return { world, tally, step: (call) => step(kernel, world, tally, call) };
}

export function createTally(): Tally {
  const none = (): Counts => ({ predicted: 0, partial: 0, notModelled: 0 });
  return { ioctls: none(), transfers: none(), mappings: none(), learned: 0, wrong: [] };
}

function step(kernel: Kernel, world: World, tally: Tally, call: Call): void {
  switch (call.op) {
    case 'open':
      noteOpen(world, call);
      break;
    case 'close':
      noteClose(world, call);
      break;
    case 'ioctl':
      if (call.kind === 'device' && !OTHERS.includes(call.cmd)) compareIoctl(kernel, world, tally, call);
      noteGrant(world, call);
      break;
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      if (call.kind === 'device') compareTransfer(kernel, world, tally, call);
      break;
    case 'mmap':
      if (call.kind === 'device') compareMmap(kernel, world, tally, call);
      execute(kernel, call);
      break;
    case 'munmap':
      execute(kernel, call);
      break;
    default:
  }
}

function deviceOf(world: World, call: IoctlCall | ReadCall | WriteCall | MmapCall): PciDevice {
  const device = pciDeviceOf(world, call.pid, call.fd);
  if (device === undefined) throw new Error(`call ${call.seq} is on a device that was never opened`);
  return device;
}

function compareIoctl(kernel: Kernel, world: World, tally: Tally, record: IoctlCall): void {
  const device = deviceOf(world, record);
  prepare(kernel, record.pid);
  kernel.call.arg = record.arg ?? new Uint8Array(0);
  kernel.call.argument = record.argp;
  const answer = vfioPciIoctl(kernel, device, record.cmd);
  const { reply } = kernel;
  reply.modelled = answer !== 'not-modelled';
  const refusal = answer === 'not-modelled' ? null : answer;
  reply.reason = refusal;
  reply.errno = refusal?.errno ?? 0;
  reply.ret = refusal === null ? kernel.call.ret : -1;
  count(
    tally,
    record,
    `0x${record.cmd.toString(16)}, recorded ${record.errno}`,
    compareReply(kernel, record, reply),
    reply.modelled,
  );
  tally.learned += learnPciReply(kernel, device, record);
}

function compareTransfer(kernel: Kernel, world: World, tally: Tally, record: ReadCall | WriteCall): void {
  const device = deviceOf(world, record);
  const isWrite = record.op === 'write' || record.op === 'pwrite';
  const offset = record.off;
  if (offset === null) throw new Error(`call ${record.seq} has no file offset`);
  prepare(kernel, record.pid);
  const data = isWrite && record.arg instanceof Uint8Array ? record.arg : null;
  const transfer = { isWrite, addr: record.addr, lengthBytes: record.len, offset, data };
  const result = vfioPciTransfer(kernel, device, transfer);
  let verdict: Verdict = 'partial';
  if (result !== null) {
    const errno = result.refusal?.errno ?? 0;
    const isSame = errno === record.errno && (errno === 0 ? result.done : -1) === record.ret;
    // What a device's registers read is a fact of the moment.
    if (!isSame) verdict = 'diverged';
    else verdict = isWrite ? 'matched' : 'partial';
  }
  count(tally, record, `${record.op} of region ${offset >> 40n}`, verdict, result !== null);
  if (!isWrite) tally.learned += learnPciRead(device.facts, record as ReadCall, offset);
}

function compareMmap(kernel: Kernel, world: World, tally: Tally, record: MmapCall): void {
  const pageBytes = kernel.profile.pageBytes;
  const page = BigInt(pageBytes);
  const lengthBytes = ((record.len + page - 1n) / page) * page;
  const isShared = (record.flags & MAP_SHARED) !== 0n;
  const mapping = { offset: record.off, lengthBytes, isShared };
  const answer = vfioPciMmap(deviceOf(world, record), mapping, pageBytes);
  const isModelled = answer !== 'not-modelled';
  const isSame = isModelled && (answer?.errno ?? 0) === record.errno;
  count(tally, record, `mmap, recorded ${record.errno}`, isSame ? 'matched' : 'diverged', isModelled);
}

function prepare(kernel: Kernel, pid: number): void {
  const { call } = kernel;
  const process = processOf(kernel, pid, kernel.lastPid);
  kernel.lastPid = pid;
  call.pid = pid;
  call.mm = process.mm;
  call.ret = 0;
  call.respondFrom = 0;
  call.respondEnd = 0;
  call.structWrites.length = 0;
  call.writes.length = 0;
  call.unknown.length = 0;
  call.buffers = [];
}

function count(tally: Tally, record: Call, name: string, verdict: Verdict, modelled: boolean): void {
  const { ioctls, transfers, mappings } = tally;
  const counts = record.op === 'ioctl' ? ioctls : record.op === 'mmap' ? mappings : transfers;
  if (!modelled) counts.notModelled += 1;
  else if (verdict === 'matched') counts.predicted += 1;
  else if (verdict === 'partial') counts.partial += 1;
  else tally.wrong.push(`${record.seq}: ${name}`);
}
