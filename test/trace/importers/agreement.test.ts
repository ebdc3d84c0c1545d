import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Call, IoctlCall } from '../../../src/trace/index.ts';
import { CMD, findIoctl } from '../../../src/uapi/index.ts';
import { CLIENTS, OBSERVERS, readObserved, VMM } from '../../support/observed.ts';

/** Two recordings of one run say the same, call by call: command, object, range and result. */

const hex = (bytes: Uint8Array | null): string => (bytes === null ? '?' : Buffer.from(bytes).toString('hex'));
const nameOf = (call: IoctlCall): string =>
  findIoctl(call.kind, call.cmd)?.name ?? `0x${call.cmd.toString(16)}`;

/** What QEMU's log tells of a call under iommufd. Binding and attaching leave no event when they fail. */
const LOGGED = new Set([
  ...['IOMMU_IOAS_MAP', 'IOMMU_IOAS_UNMAP', 'IOMMU_IOAS_ALLOC', 'IOMMU_HWPT_ALLOC', 'IOMMU_DESTROY'],
  ...['VFIO_DEVICE_BIND_IOMMUFD', 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', 'VFIO_DEVICE_DETACH_IOMMUFD_PT'],
]);
const ONLY_WHEN_DONE = new Set(['VFIO_DEVICE_BIND_IOMMUFD', 'VFIO_DEVICE_ATTACH_IOMMUFD_PT']);

/** The ids and results of a call; errors that the log does not name are those of the capture. */
function told(call: Call, withErrno: boolean): string[] {
  if (call.op === 'open' && /^(device|iommufd)$/.test(call.kind)) return [`open ${call.path} = ${call.ret}`];
  if (call.op === 'close' && /^(device|iommufd)$/.test(call.kind)) return [`close ${call.fd}`];
  if (call.op !== 'ioctl' || !LOGGED.has(nameOf(call))) return [];
  if (ONLY_WHEN_DONE.has(nameOf(call)) && call.ret !== 0) return [];
  const errno = withErrno ? ` errno ${call.errno}` : '';
  return [`${nameOf(call)} ${call.fd} ${hex(call.arg)} = ${call.ret}${errno}`];
}

const isNamed = (call: Call): boolean => !call.partial?.missing.includes('errno');

describe("QEMU 10.0's log and the capture of the same run agree call by call", () => {
  test.each(['a', 'b', 'bpf', 'k', 'k-pt', 'strace'])('%s', async (run) => {
    const log = await readObserved(join(OBSERVERS, `qemu-${run}.log.gz`));
    const capture = await readObserved(join(VMM, `${run}.jsonl.gz`));
    expect(log.summary.format).toBe('qemu');
    const seen = log.calls.flatMap((call) => told(call, false));
    const recorded = capture.calls.flatMap((call) => told(call, false));
    // QEMU ends without closing anything: what a log can not show are only calls that nobody made.
    expect(seen).toEqual(recorded);
    expect(seen.length).toBeGreaterThanOrEqual(50);
    // Where the log names the error, it is the recorded one.
    const pairs = log.calls.filter((call) => told(call, false).length > 0);
    const others = capture.calls.filter((call) => told(call, false).length > 0);
    const named = pairs
      .map((call, index) => [call, others[index]!] as const)
      .filter(([call]) => isNamed(call));
    expect(named.map(([call]) => told(call, true))).toEqual(named.map(([, other]) => told(other, true)));
    // Replies that the log tells whole are those that were recorded.
    const replies = pairs.flatMap((call, index) => {
      const other = others[index]!;
      return call.op === 'ioctl' && other.op === 'ioctl' && call.out !== null
        ? [[hex(call.out), hex(other.out)]]
        : [];
    });
    expect(replies.map(([told]) => told)).toEqual(replies.map(([, recorded]) => recorded));
  });
});

/** What the log of a container tells: neither container nor result. */
function ranges(calls: readonly Call[], withAddress: boolean): string[] {
  return calls.flatMap((call) => {
    if (call.op !== 'ioctl' || call.kind !== 'container' || call.arg === null) return [];
    const view = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
    if (call.cmd === CMD.VFIO_IOMMU_UNMAP_DMA)
      return [`unmap ${view.getBigUint64(8, true)} ${view.getBigUint64(16, true)}`];
    if (call.cmd !== CMD.VFIO_IOMMU_MAP_DMA) return [];
    const address = withAddress ? ` at ${view.getBigUint64(8, true)}` : '';
    return [`map ${view.getBigUint64(16, true)} ${view.getBigUint64(24, true)}${address}`];
  });
}

describe("QEMU's log of a VFIO container and the capture agree on every map and unmap", () => {
  test.each([
    ['7.2, type1, edu', 'qemu72-classic-edu', CLIENTS, 'classic-qemu72-edu', true],
    ['7.2, type1, nvme', 'qemu72-classic-linux-nvme', CLIENTS, 'classic-qemu72-linux-nvme', true],
    ['7.2, iommufd, edu', 'qemu72-compat-edu', CLIENTS, 'compat-qemu72-edu', true],
    ['7.2, iommufd, not started', 'qemu72-compat-stopped', CLIENTS, 'compat-qemu72-stopped', true],
    ['7.2, vIOMMU', 'qemu72-compat-linux-viommu-nvme', CLIENTS, 'compat-qemu72-linux-viommu-nvme', false],
    ['10.0', 'qemu-d', VMM, 'd', true],
  ] as const)('%s', async (_, log, folder, capture, withAddress) => {
    const seen = await readObserved(join(OBSERVERS, `${log}.log.gz`));
    const recorded = await readObserved(join(folder, `${capture}.jsonl.gz`));
    const wanted = ranges(recorded.calls, withAddress);
    expect(ranges(seen.calls, withAddress)).toEqual(wanted);
    expect(wanted.length).toBeGreaterThan(4);
    for (const call of seen.calls) if (call.op === 'ioctl') expect(call.replied).toBe(false);
  });
});

const isOurs = (call: Call): boolean =>
  (call.op === 'ioctl' || call.op === 'open' || call.op === 'close') && /^(iommufd|device)$/.test(call.kind);

describe('what watched the system calls agrees with the capture', () => {
  test('strace: descriptor, command, address and result', async () => {
    const strace = await readObserved(join(OBSERVERS, 'strace-strace.txt.gz'));
    const capture = await readObserved(join(VMM, 'strace.jsonl.gz'));
    expect(strace.summary.format).toBe('strace');
    const text = (call: Call): string => {
      if (call.op === 'open') return `open ${call.path} ${call.flags} = ${call.ret}`;
      if (call.op !== 'ioctl') return call.op;
      const { fd, kind, argp, ret, errno } = call;
      return `ioctl ${fd} ${kind} ${nameOf(call)} 0x${argp.toString(16)} = ${ret} ${errno}`;
    };
    const wanted = capture.calls.filter(isOurs).map(text);
    expect(strace.calls.filter(isOurs).map(text)).toEqual(wanted);
    expect(wanted.length).toBe(473);
    const maps = (calls: readonly Call[]) =>
      calls.flatMap((call) =>
        call.op === 'mmap' && call.kind === 'device' ? [[call.addr, call.len, call.off, call.mapped]] : [],
      );
    expect(maps(strace.calls)).toEqual(maps(capture.calls));
  });

  test('bpftrace: every byte of every struct, before and after', async () => {
    const bpftrace = await readObserved(join(OBSERVERS, 'bpftrace-bpf.txt.gz'));
    const capture = await readObserved(join(VMM, 'bpf.jsonl.gz'));
    expect(bpftrace.summary).toMatchObject({ format: 'bpftrace', lost: 0, doubtful: 0 });
    const text = (call: Call): string => {
      if (call.op === 'open') return `open ${call.path} = ${call.ret}`;
      if (call.op !== 'ioctl') return call.op;
      const { fd, kind, argp, arg, out, ret, errno } = call;
      return `${fd} ${kind} ${nameOf(call)} 0x${argp.toString(16)} ${hex(arg)} ${hex(out)} = ${ret} ${errno}`;
    };
    const wanted = capture.calls.filter(isOurs).map(text);
    expect(bpftrace.calls.filter(isOurs).map(text)).toEqual(wanted);
    expect(wanted.length).toBe(307);
  });
});

/** What the kernel did to page tables while a call ran: the ranges that its events have, joined. */
function eventRanges(events: readonly Call[], name: string, pid: number, from: number, to: number): string[] {
  const found: [bigint, bigint][] = [];
  for (const event of events) {
    if (event.op !== 'call' || event.name !== name || event.pid !== pid || event.tNs === null) continue;
    if (event.tNs < from || event.tNs > to) continue;
    const start = BigInt(String(event.args['iova']));
    const end = start + BigInt(String(event.args['size']));
    const last = found.at(-1);
    if (last !== undefined && last[1] === start) last[1] = end;
    else found.push([start, end]);
  }
  return found.map(([start, end]) => `0x${start.toString(16)} - 0x${end.toString(16)}`);
}

describe('ftrace shows each map and unmap that succeeded, and none that failed', () => {
  test.each(['b', 'bpf', 'strace'])('%s', async (run) => {
    const ftrace = await readObserved(join(OBSERVERS, `ftrace-${run}.txt.gz`));
    const capture = await readObserved(join(VMM, `${run}.jsonl.gz`));
    expect(ftrace.summary).toMatchObject({ format: 'ftrace', lost: 0 });
    let compared = 0;
    let hasDomain = false;
    for (const call of capture.calls) {
      if (call.op !== 'ioctl' || call.kind !== 'iommufd' || call.arg === null || call.tNs === null) continue;
      // Without a page table nothing is written: QEMU unmaps once it has destroyed the only one.
      if (call.cmd === CMD.IOMMU_HWPT_ALLOC) hasDomain = true;
      if (call.cmd === CMD.IOMMU_DESTROY) hasDomain = false;
      const isMap = call.cmd === CMD.IOMMU_IOAS_MAP;
      if (!isMap && call.cmd !== CMD.IOMMU_IOAS_UNMAP) continue;
      const view = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
      const iova = view.getBigUint64(isMap ? 32 : 8, true);
      const length = view.getBigUint64(isMap ? 24 : 16, true);
      const end = call.tNs + Number(call.extra?.['dt_ns'] ?? 0);
      const name = isMap ? 'iommu_map' : 'iommu_unmap';
      // ftrace prints microseconds.
      const seen = eventRanges(ftrace.calls, name, call.tid ?? call.pid, call.tNs - 1000, end + 1000);
      const range = `0x${iova.toString(16)} - 0x${(iova + length).toString(16)}`;
      expect(seen, `call ${call.seq}`).toEqual(call.ret === 0 && hasDomain ? [range] : []);
      compared += 1;
    }
    expect(compared).toBeGreaterThan(40);
  });
});
