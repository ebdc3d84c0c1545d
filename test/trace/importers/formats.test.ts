import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { detectFormat, FORMAT_NAMES } from '../../../src/trace/importers/index.ts';
import { type Call, parseRecord, readTrace, TraceError, writeRecord } from '../../../src/trace/index.ts';
import { OBSERVERS, readObserved, VMM } from '../../support/observed.ts';

const textOf = (file: string) => gunzipSync(readFileSync(join(OBSERVERS, file))).toString();
const PROGRAM = "r0 = openat$iommufd(0xffffffffffffff9c, &AUTO='/dev/iommu\\x00', 0x0, 0x0)\nclose(r0)\n";
const RECORDED = 'ioasis-bpftrace 1 1\nopen 5 5 1 100 3 0x80002 /dev/iommu\nclose 5 5 2 200 3\n';

const SAMPLES: Readonly<Record<string, string>> = {
  qemu: textOf('qemu-strace.log.gz'),
  strace: textOf('strace-strace.txt.gz'),
  bpftrace: textOf('bpftrace-bpf.txt.gz'),
  ftrace: textOf('ftrace-bpf.txt.gz'),
  syzkaller: PROGRAM,
  'ioasis-bpftrace': RECORDED,
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ioasis-formats-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function readText(text: string | Buffer, format?: string) {
  const path = join(folder, 'sample');
  writeFileSync(path, text);
  return await readObserved(path, format);
}

describe('the format of a file is told by its content', () => {
  test.each(Object.keys(SAMPLES))('%s', async (name) => {
    const { summary, calls } = await readText(SAMPLES[name]!);
    expect(summary.format).toBe(name);
    expect(calls.length).toBeGreaterThan(0);
    expect(calls.map(({ seq }) => seq)).toEqual(calls.map((_, index) => index));
    expect((await readText(SAMPLES[name]!, name)).calls).toEqual(calls);
  });

  test('of a capture by its first line, whatever it speaks of', async () => {
    expect((await readObserved(join(VMM, 'bpf.jsonl.gz'))).summary.format).toBe('capture');
    expect(detectFormat('\n  {"op":"note","kind":"iommufd_backend_connect fd=10"}\n')).toBeNull();
  });

  test('with messages of the tool in front, and with the line ends of another system', async () => {
    const qemu = `qemu-system-x86_64: warning: something\r\n${SAMPLES['qemu']!.replaceAll('\n', '\r\n')}`;
    const { summary, calls } = await readText(qemu);
    expect(summary.format).toBe('qemu');
    expect(calls).toEqual((await readText(SAMPLES['qemu']!)).calls);
  });

  test('and one that is none is read as a capture, which says what is wrong', async () => {
    await expect(readText('hello\nworld\n')).rejects.toThrow(/:1: must be one JSON object a line/);
    await expect(readText('')).rejects.toThrow('holds no records');
    await expect(readText('hello\n', 'strace')).rejects.toThrow('holds no line of strace');
    await expect(readText('\n\n', 'qemu')).rejects.toThrow('holds no lines');
  });

  test('has a name for each', () => {
    expect(FORMAT_NAMES).toEqual([
      ...['ioasis', 'capture', 'ioasis-bpftrace', 'bpftrace', 'ftrace', 'syzkaller', 'strace', 'qemu'],
    ]);
  });

  test('works on a pipe, in pieces of any size', async () => {
    for (const [name, text] of Object.entries(SAMPLES)) {
      const calls: Call[] = [];
      const bytes = Buffer.from(text);
      const pieces = Array.from({ length: Math.ceil(bytes.length / 7001) }, (_, index) =>
        bytes.subarray(index * 7001, (index + 1) * 7001),
      );
      const summary = await readTrace(
        '-',
        { calls: (batch) => void calls.push(...batch) },
        { stdin: Readable.from(pieces), batchCalls: 10 },
      );
      expect(summary.format).toBe(name);
      expect(calls).toEqual((await readText(text)).calls);
    }
  });
});

test('imported calls can be written as a capture and read again without loss', async () => {
  for (const text of Object.values(SAMPLES)) {
    const { calls } = await readText(text);
    const read = calls.map((call, index) => {
      const record = parseRecord(writeRecord(call), { fileName: 'x', lineNumber: 1, previousSeq: index - 1 });
      return record.type === 'call' ? record.call : null;
    });
    expect(read).toEqual(calls);
  }
});

describe('damaged logs', () => {
  /** Cuts, flips and shuffles; the same for the same numbers. */
  const damaged = (text: string, seed: number): Buffer => {
    let state = seed >>> 0;
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const lines = text.split('\n');
    const start = next(Math.max(1, lines.length - 200));
    const some = [lines[0]!, ...lines.slice(start, start + 200)];
    if (next(2) === 0) {
      for (let index = some.length - 1; index > 0; index -= 1) {
        const other = next(index + 1);
        [some[index], some[other]] = [some[other]!, some[index]!];
      }
    }
    const bytes = Buffer.from(some.join('\n'));
    for (let flips = next(40); flips > 0 && bytes.length > 0; flips -= 1) {
      const at = next(bytes.length);
      bytes[at] = bytes[at]! ^ (1 << next(8));
    }
    return bytes.subarray(0, next(2) === 0 ? bytes.length : next(bytes.length));
  };

  test.each(Object.keys(SAMPLES))('of %s are read, or refused with a position', async (name) => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.boolean(), async (seed, told) => {
        const text =
          name === 'syzkaller' || name === 'ioasis-bpftrace' ? SAMPLES[name]!.repeat(20) : SAMPLES[name]!;
        try {
          const { summary, calls } = await readText(damaged(text, seed), told ? name : undefined);
          const notes = calls.filter(({ op }) => op === 'note').length;
          expect(summary.callCount).toBe(calls.length - notes);
          expect(Object.keys(summary.skipped).length).toBeLessThanOrEqual(401);
        } catch (error) {
          if (!(error instanceof TraceError)) throw error;
        }
      }),
      { numRuns: 60 },
    );
  });

  test('with a line of a gigabyte end in an error, in constant memory', async () => {
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    let given = 0;
    const endless = new Readable({
      read() {
        given += 1;
        this.push(
          given === 1 ? Buffer.from(`${SAMPLES['qemu']!.slice(0, 2000)}\n`) : given > 1024 ? null : chunk,
        );
      },
    });
    const reading = readTrace('-', {}, { stdin: endless });
    await expect(reading).rejects.toThrow(/line is longer than 8388608 bytes/);
    expect(given).toBeLessThan(32);
  });

  test.each(Object.keys(SAMPLES))(
    'of %s with long lines of one thing are read without delay',
    async (name) => {
      const units = [
        ...[
          ' ',
          'a ',
          'a(',
          '(',
          '{',
          '[',
          '<',
          '1<',
          '"',
          "'",
          '\\',
          'a-1 ',
          '1 ',
          '-1 [0] ',
          'ab_',
          'ab_c ',
        ],
        ...['q: ', 'q.', '/*', '=0x1 ', 'a=1 ', '0', '0x', '1.', ': ', '&(0x1)=', 'map: IOMMU: '],
        ...['_IOC(', 'strace: Process 1 attached', '[iommufd=1] ', 'iova= '],
      ];
      const starts = [
        '',
        '[pid 1',
        '2026-11-20T18:00:00Z ',
        'ioctl(',
        'ioctl(3<',
        'r0 = ioctl(',
        'x-1 [000] ',
        'E 1 ',
      ];
      // A pattern that tries all ways to read such a line would not end before the test is given up.
      const lines = starts.flatMap((start) =>
        units.map((unit) => `${start}${unit.repeat(50_000 / unit.length)}x`),
      );
      const { summary } = await readText(`${SAMPLES[name]!}${lines.join('\n')}\n`, name);
      expect(summary.callCount).toBeGreaterThan(0);
    },
  );

  test('with numbers that no call can have lose those calls', async () => {
    const { summary, calls } = await readText(
      [
        'iommufd_backend_alloc_ioas  iommufd=99999999999 ioas=2',
        'iommufd_backend_alloc_ioas  iommufd=10 ioas=2',
        'vfio_put_group close group->fd=2147483648',
      ].join('\n'),
    );
    expect(calls).toHaveLength(1);
    expect(summary.skipped['call with a number that no call can have']).toBe(1);
  });

  test('of many kinds of lines keep few counts', async () => {
    const lines = Array.from({ length: 5000 }, (_, index) => `vfio_event_${index} x`).join('\n');
    const { summary } = await readText(`iommufd_backend_alloc_ioas  iommufd=10 ioas=2\n${lines}\n`);
    expect(Object.keys(summary.skipped)).toHaveLength(401);
    expect(summary.skipped['lines of other kinds']).toBe(4600);
  });
});
