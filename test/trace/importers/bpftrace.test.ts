import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { BPFTRACE_PLAIN, BPFTRACE_RECORDER } from '../../../src/trace/importers/bpftrace/index.ts';
import { OBSERVERS, readObserved } from '../../support/observed.ts';
import { importLines, shown } from './import-lines.ts';

const ALLOC = '0c 00 00 00 00 00 00 00 00 00 00 00';
const ALLOCATED = '0c 00 00 00 00 00 00 00 02 00 00 00';
const hex = (bytes: string) => bytes.replaceAll(' ', '');

describe('one line for entry and one for exit', () => {
  const read = (...lines: readonly string[]) => shown(BPFTRACE_PLAIN, lines);
  const open = 'o 5 5 100 3 /dev/iommu';

  test('make one call', () => {
    expect(
      read('Attaching 6 probes...', open, `E 5 5 200 3 0x3b81 0x7ffd | ${ALLOC}`, `X 5 300 0 | ${ALLOCATED}`),
    ).toEqual({
      calls: [
        'open /dev/iommu iommufd = 3 | missing flags',
        `ioctl 3 iommufd IOMMU_IOAS_ALLOC argp 0x7ffd ${hex(ALLOC)} -> ${hex(ALLOCATED)} = 0`,
      ],
      skipped: ['words of bpftrace'],
    });
  });

  test('an exit with the struct of another call is not paired', () => {
    const { calls, skipped, lost } = read(
      open,
      `E 5 5 200 3 0x3b81 0x7ffd | ${ALLOC}`,
      'X 5 300 0 | 08 00 00 00 02 00 00 00',
    );
    expect(calls[1]).toMatch(/IOAS_ALLOC .* = \? \| missing ret$/);
    expect(skipped).toEqual(['exit with the struct of another call']);
    expect(lost).toEqual([null]);
  });

  test('an entry whose exit was lost stays without an answer, and what follows is in doubt', () => {
    const { calls, lost } = read(
      open,
      `E 5 5 200 3 0x3b81 0x7ffd | ${ALLOC}`,
      `E 5 5 400 3 0x3b81 0x7ffd | ${ALLOC}`,
      `X 5 500 0 | ${ALLOCATED}`,
    );
    expect(calls.map((call) => call.split(' = ')[1])).toEqual([
      '3 | missing flags',
      '? | missing ret',
      '0 | doubtful',
    ]);
    expect(lost).toEqual([null]);
  });

  test('a loss puts the answers around it in doubt, also those before it in the file', () => {
    const { calls, lost } = read(
      open,
      `E 5 5 200 3 0x3b81 0x7ffd | ${ALLOC}`,
      `X 5 300 0 | ${ALLOCATED}`,
      'Lost 12 events',
      `E 5 5 400 3 0x3b81 0x7ffd | ${ALLOC}`,
      `X 5 500 0 | ${ALLOCATED}`,
    );
    expect(calls.filter((call) => call.endsWith('doubtful'))).toHaveLength(2);
    expect(lost).toEqual([12]);
  });

  test('of a real run with lines taken out never give a wrong answer without a doubt', () => {
    const text = gunzipSync(readFileSync(join(OBSERVERS, 'bpftrace-bpf.txt.gz'))).toString();
    const lines = text.split('\n');
    const whole = importLines(BPFTRACE_PLAIN, lines).calls;
    const key = (call: (typeof whole)[number]) => (call.op === 'ioctl' ? `${call.tNs} ${call.cmd}` : '');
    const answers = new Map(
      whole.map((call) => [key(call), 'ret' in call ? `${call.ret} ${call.errno}` : '']),
    );
    let seed = 1;
    for (let round = 0; round < 20; round += 1) {
      const kept = lines.filter((line) => {
        seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
        return !/^[EX] /.test(line) || seed % 100 >= 8;
      });
      // bpftrace tells the loss somewhere behind it.
      kept.splice(Math.floor(kept.length / 2), 0, 'Lost 40 events');
      let checked = 0;
      for (const call of importLines(BPFTRACE_PLAIN, kept).calls) {
        if (call.op !== 'ioctl' || !call.replied || call.partial?.doubtful !== undefined) continue;
        expect(`${call.ret} ${call.errno}`).toBe(answers.get(key(call)));
        checked += 1;
      }
      expect(checked).toBe(0);
    }
  });
});

describe("ioasis's own script", () => {
  const FIRST = 'ioasis-bpftrace 1 1';
  const read = (...lines: readonly string[]) => shown(BPFTRACE_RECORDER, [FIRST, ...lines]);
  const OPEN = 'open 5 5 1 100 3 0x80002 /dev/iommu';

  test('makes calls of enter, more, buf and exit, whatever other threads do between', () => {
    const { calls, skipped } = read(
      OPEN,
      `enter 5 5 2 200 3 0x3b81 0x7ffd 12|${ALLOC}`,
      `enter 6 5 1 210 3 0x3b80 0x7ffe 8|08 00 00 00 09 00 00 00`,
      'exit 6 5 1 220 -2|08 00 00 00 09 00 00 00',
      `exit 5 5 2 300 0|${ALLOCATED}`,
      'close 5 5 3 400 3',
      'gone 6 5 2 410',
    );
    expect(calls).toEqual([
      'open /dev/iommu iommufd = 3',
      'ioctl 3 iommufd IOMMU_DESTROY argp 0x7ffe 0800000009000000 = -1 errno 2',
      `ioctl 3 iommufd IOMMU_IOAS_ALLOC argp 0x7ffd ${hex(ALLOC)} -> ${hex(ALLOCATED)} = 0`,
      'close 3 iommufd = ? | missing ret',
    ]);
    expect(skipped).toEqual(['first line', 'end of a thread']);
  });

  test('reads long structs and buffers in pieces', () => {
    const bytes = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => ((from + index) & 255).toString(16).padStart(2, '0')).join(
        ' ',
      );
    const { calls } = importLines(BPFTRACE_RECORDER, [
      FIRST,
      OPEN,
      `enter 5 5 2 200 3 0x3ba0 0x7ffd 72|48 00 00 00 ${bytes(4, 60)}`,
      `more 5 5 2 before 64|${bytes(64, 8)}`,
      'buf 5 5 2 before 0x1000 3 0|01 02 03',
      `exit 5 5 2 300 0|48 00 00 00 ${bytes(4, 60)}`,
      `more 5 5 2 after 64|${bytes(64, 8)}`,
      'buf 5 5 2 after 0x1000 3 0|01 02 04',
    ]);
    const call = calls[1]!;
    if (call.op !== 'ioctl') throw new Error(call.op);
    expect(call.partial).toBeUndefined();
    expect(call.arg).toHaveLength(72);
    expect(call.out).toBe(call.arg);
    expect(call.mem).toEqual([
      {
        ...{ addr: 0x1000n, len: 3, dir: 'inout', fault: false, cut: false },
        before: new Uint8Array([1, 2, 3]),
        after: new Uint8Array([1, 2, 4]),
      },
    ]);
  });

  test('finds every loss by the numbers of the events', () => {
    const { calls, skipped, lost } = read(
      OPEN,
      `enter 5 5 4 200 3 0x3b81 0x7ffd 12|${ALLOC}`,
      `enter 5 5 5 300 3 0x3b81 0x7ffd 12|${ALLOC}`,
      `exit 5 5 5 350 0|${ALLOCATED}`,
      `exit 5 5 7 400 0|${ALLOCATED}`,
      '@n[5]: 9',
      'Lost 5 events',
    );
    expect(calls.map((call) => call.split(' = ')[1])).toEqual(['3', '? | missing ret', '0']);
    // 2 and 3; the exit of 4; 6; the enter of 7; 8 and 9.
    expect(lost).toEqual([2, 1, 1, 1, 2]);
    expect(skipped).toEqual([
      ...['first line', 'exit of a call whose beginning was lost', 'count of the events of a thread'],
      'report of a loss',
    ]);
  });

  test('takes the request from the answer where its page was not in memory', () => {
    const { calls } = read(OPEN, 'enter 5 5 2 200 3 0x3b81 0x7ffd 0', `exit 5 5 2 300 0|${ALLOCATED}`);
    expect(calls[1]).toBe(
      `ioctl 3 iommufd IOMMU_IOAS_ALLOC argp 0x7ffd ${hex(ALLOC)} -> ${hex(ALLOCATED)} = 0`,
    );
  });

  test('knows groups, devices, copies, children and their memory', () => {
    const { calls, skipped } = read(
      'open 5 5 1 100 8 0x80002 /dev/vfio/7',
      'enter 5 5 2 110 8 0x3b6a 0x7ffd 0 "0000:01:00.0"',
      'exit 5 5 2 120 9',
      'dup 5 5 3 130 9 20',
      'fork 5 5 4 140 6',
      'fork 5 5 5 150 7',
      'enter 7 5 1 155 20 0x3b6f 0x0 0',
      'exit 7 5 1 158 0',
      'enter 6 6 1 160 20 0x3b6f 0x0 0',
      'exit 6 6 1 170 0',
      'mmap 6 6 2 180 -1 0x0 4096 3 0x22 0x0 0x7f0000000000',
      'mmap 6 6 3 190 -1 0x0 4096 3 0x22 0x0 0xfffffffffffffff4',
      'munmap 6 6 4 200 0x7f0000000000 4096',
      'exec 6 6 5 210 /bin/true',
      'gone 6 6 6 220',
    );
    expect(calls).toEqual([
      'open /dev/vfio/7 group = 8',
      `ioctl 8 group VFIO_GROUP_GET_DEVICE_FD argp 0x7ffd ${Buffer.from('0000:01:00.0\0').toString('hex')} = 9 | missing out`,
      'open  device = 20 | missing path',
      'ioctl 20 device VFIO_DEVICE_RESET argp 0x0 = 0',
      'fork = 6',
      '[6] ioctl 20 device VFIO_DEVICE_RESET argp 0x0 = 0',
      '[6] mmap -1 ? = 0x7f0000000000',
      '[6] mmap -1 ? = ?',
      '[6] munmap = ? | missing ret',
      '[6] close 8 group = ? | missing ret | implied',
      '[6] close 9 device = ? | missing ret | implied',
      '[6] close 20 device = ? | missing ret | implied',
      '[6] waitpid = 6 | missing status | implied',
    ]);
    expect(skipped.filter((what) => /damaged|message/.test(what))).toEqual([]);
  });

  test('puts lines of several CPUs in the order of their time', () => {
    const { calls } = read(
      OPEN,
      `enter 6 5 1 900 3 0x3b80 0x7ffe 8|08 00 00 00 01 00 00 00`,
      'exit 6 5 1 950 0|08 00 00 00 01 00 00 00',
      `enter 5 5 2 200 3 0x3b81 0x7ffd 12|${ALLOC}`,
      `exit 5 5 2 300 0|${ALLOCATED}`,
    );
    expect(calls.slice(1).map((call) => call.split(' ')[3])).toEqual(['IOMMU_IOAS_ALLOC', 'IOMMU_DESTROY']);
  });
});

test('detection tells the two apart', async () => {
  expect((await readObserved(join(OBSERVERS, 'bpftrace-bpf.txt.gz'))).summary.format).toBe('bpftrace');
  expect(BPFTRACE_RECORDER.detects('ioasis-bpftrace 1 123')).toBe(true);
});
