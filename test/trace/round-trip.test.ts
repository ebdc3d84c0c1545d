import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Call,
  EMPTY_HEADER,
  headerToRecord,
  openCaptureWriter,
  parseCapture,
  parseRecord,
  parseTopology,
  readCapture,
  type TraceHeader,
  writeHeaderRecord,
  writeRecord,
} from '../../src/trace/index.ts';
import { callList, ioctlCall } from './random-call.ts';
import { SHARED_TRACES, sharedTraces } from './shared-traces.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ioasis-trace-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function readAll(source: string, options: Parameters<typeof readCapture>[2] = {}) {
  const calls: Call[] = [];
  let header: TraceHeader | undefined;
  const summary = await readCapture(
    source,
    {
      header: (read) => {
        header = read;
      },
      calls: (batch) => {
        calls.push(...batch);
      },
    },
    options,
  );
  return { header, calls, ...summary };
}

/** As expect().toEqual(), which is too slow for 100,000 calls. */
function expectSame(found: readonly unknown[], wanted: readonly unknown[], name: string): void {
  if (!isDeepStrictEqual(found, wanted)) expect(found, name).toEqual(wanted);
}

/** A capture line with the shorter ways to say something spelled out. */
function spellOut(line: string): Record<string, unknown> {
  const record = JSON.parse(line) as Record<string, unknown>;
  const bytes = (value: unknown): unknown => {
    const zero = (value as { zero?: number } | undefined)?.zero;
    return zero === undefined ? value : '00'.repeat(zero);
  };
  for (const buffer of (record['mem'] ?? []) as Record<string, unknown>[]) {
    buffer['before'] = bytes(buffer['before']);
    buffer['after'] = buffer['same'] === true ? buffer['before'] : bytes(buffer['after']);
    delete buffer['same'];
  }
  if (record['op'] !== 'note') for (const key of ['arg', 'out']) record[key] = bytes(record[key]);
  return record;
}

describe.skipIf(sharedTraces().length === 0)('every shared capture', () => {
  test('is read without loss: what is written back says the same', { timeout: 300_000 }, async () => {
    for (const name of sharedTraces()) {
      const path = join(SHARED_TRACES, name);
      const { header, calls, callCount, skipped } = await readAll(path);
      const file = readFileSync(path);
      const lines = (name.endsWith('.gz') ? gunzipSync(file) : file).toString().trimEnd().split('\n');
      const written = calls.map(writeRecord);
      if (JSON.parse(lines[0]!).op === 'header') {
        expect(JSON.parse(writeHeaderRecord(header!)!), name).toEqual(JSON.parse(lines.shift()!));
      }
      expect(skipped, name).toEqual({});
      expect(callCount, name).toBe(lines.length);
      expectSame(written.map(spellOut), lines.map(spellOut), name);
      const again = parseCapture(written.join('\n'), name);
      expectSame(again.calls, calls, name);
    }
  });
});

describe('writing and reading', () => {
  test('gives equal calls for any calls', () => {
    fc.assert(
      fc.property(callList, (calls) => {
        // Faulted pointers are what exempts random bytes from the check of the struct's size.
        const stored = calls.map((call) => (call.op === 'ioctl' ? { ...call, argFault: true } : call));
        fc.pre(stored.length > 0);
        expect(parseCapture(stored.map(writeRecord).join('\n')).calls).toEqual(stored);
      }),
      { numRuns: 300 },
    );
  });

  test('keeps the identity of an unchanged struct', () => {
    fc.assert(
      fc.property(ioctlCall, (call) => {
        const line = writeRecord({ ...call, argFault: true, out: call.arg });
        const record = parseRecord(line, { fileName: 'f', lineNumber: 1, previousSeq: -1 });
        if (record.type !== 'call' || record.call.op !== 'ioctl') throw new Error('not an ioctl');
        expect(record.call.out).toBe(record.call.arg);
      }),
      { numRuns: 50 },
    );
  });

  test.each(['plain.jsonl', 'packed.jsonl.gz'])('goes through the file %s', async (name) => {
    const calls = fc.sample(callList, { numRuns: 60, seed: 7 }).find((list) => list.length > 5)!;
    const stored = calls.map((call) => (call.op === 'ioctl' ? { ...call, argFault: true } : call));
    const writer = openCaptureWriter(join(folder, name));
    await writer.writeHeader({ ...EMPTY_HEADER, kernel: '6.12' });
    for (const call of stored) await writer.writeCalls([call]);
    await writer.close();
    const read = await readAll(join(folder, name), { batchCalls: 3 });
    expect(read.calls).toEqual(stored);
    expect(read.header?.kernel).toBe('6.12');
  });

  test('fails with one line when the file cannot be written', async () => {
    const writer = openCaptureWriter(join(folder, 'no', 'such', 'folder.jsonl'));
    await expect(writer.close()).rejects.toThrow('folder.jsonl: cannot be written (ENOENT)');
  });
});

const CLOSE = '{"seq":5,"pid":1,"op":"close","fd":3,"kind":"iommufd","ret":0,"errno":0}';

describe('a capture', () => {
  test('is told to be gzip by its bytes, not by its name, and may be many gzip members', async () => {
    const path = join(folder, 'named-plain.jsonl');
    writeFileSync(path, Buffer.concat([gzipSync(`${CLOSE}\n`), gzipSync(CLOSE.replace('5', '6'))]));
    expect((await readAll(path)).calls.map(({ seq }) => seq)).toEqual([5, 6]);
  });

  test('comes from standard input as well, one byte at a time', async () => {
    const stdin = new PassThrough();
    const reading = readAll('-', { stdin });
    for (const byte of gzipSync(`${CLOSE}\r\n\n${CLOSE.replace('5', '6')}`)) stdin.write(Buffer.from([byte]));
    stdin.end();
    expect((await reading).calls.map(({ seq }) => seq)).toEqual([5, 6]);
  });

  test('reports progress in bytes of the file', async () => {
    const path = join(folder, 'progress.jsonl');
    writeFileSync(path, `${CLOSE}\n`);
    const seen: [number, number | null][] = [];
    await readAll(path, { onProgress: (...progress) => void seen.push(progress) });
    expect(seen).toEqual([[CLOSE.length + 1, CLOSE.length + 1]]);
    const stdin = createReadStream(path);
    await readAll('-', { stdin, onProgress: (...progress) => void seen.push(progress) });
    expect(seen[1]).toEqual([CLOSE.length + 1, null]);
  });

  test('counts unknown operations by name in a stable order', () => {
    const lines = ['zap', '__proto__', 'zap', 'ask'].map((op, seq) => JSON.stringify({ seq, op }));
    const { skipped, callCount, header } = parseCapture([...lines, CLOSE].join('\n'));
    expect(Object.entries(skipped)).toEqual([
      ['__proto__', 1],
      ['ask', 1],
      ['zap', 2],
    ]);
    expect(callCount).toBe(1);
    expect(header).toEqual(EMPTY_HEADER);
  });

  test('numbers records without seq after the one before', () => {
    const noSeq = '{"pid":1,"op":"close","fd":3,"kind":"iommufd"}';
    const { calls } = parseCapture([noSeq, CLOSE, noSeq].join('\n'));
    expect(calls.map(({ seq }) => seq)).toEqual([0, 5, 6]);
    expect(calls[0]).toMatchObject({ replied: false, ret: 0, errno: 0 });
  });

  test('understands same, zero and skip', () => {
    const mem = [
      { addr: '0x1', len: 2, dir: 'in', before: 'abcd', same: true },
      {
        addr: '0x1',
        len: 3,
        dir: 'out',
        before: { zero: 3 },
        after: { skip: 3, crc32: 'deadbeef' },
        note: 1,
      },
    ];
    const line = {
      seq: 1,
      pid: 1,
      op: 'ioctl',
      fd: 3,
      kind: 'iommufd',
      cmd: '0x3b68',
      argp: '0x0',
      arg: '0a',
      mem,
    };
    const call = parseCapture(JSON.stringify({ ...line, same: true })).calls[0]!;
    if (call.op !== 'ioctl') throw new Error('not an ioctl');
    expect(call.out).toBe(call.arg);
    expect(call.mem[0]!.after).toBe(call.mem[0]!.before);
    expect(call.mem[1]).toMatchObject({ before: new Uint8Array(3), after: { skip: 3 }, extra: { note: 1 } });
    expect(call).toMatchObject({ replied: false });
  });

  test('keeps unknown keys, kinds, wide commands and long integers', () => {
    const line = `{"seq":1,"pid":1,"t_ns":18446744073709551615,"op":"ioctl","fd":3,"kind":"odd",
      "cmd":"0xffffffffc0043b85","argp":"0x0","mem":[{"addr":"0x0","len":18446744073709551615,"dir":"in"}],
      "x":[9007199254740993,"9007199254740993"],"errno":4}`.replaceAll('\n', '');
    const call = parseCapture(line).calls[0]!;
    expect(call).toMatchObject({ kind: '?', cmd: 0xc0043b85, tNs: null, replied: false });
    expect(JSON.parse(writeRecord(call))).toEqual({
      ...{
        seq: 1,
        pid: 1,
        t_ns: '0xffffffffffffffff',
        op: 'ioctl',
        fd: 3,
        kind: 'odd',
        errno: 4,
        argp: '0x0',
      },
      ...{ cmd: '0xffffffffc0043b85', x: ['0x20000000000001', '9007199254740993'] },
      mem: [{ addr: '0x0', len: '0xffffffffffffffff', dir: 'in' }],
    });
  });
});

describe('a header', () => {
  test('that was changed after reading is written as changed', () => {
    const raw = { op: 'header', version: 1, kernel: '6.12', mine: [1] };
    const read = parseCapture(JSON.stringify(raw)).header;
    const topology = parseTopology({
      iommu: 'vtd',
      instances: [{ name: 'd0', aperture: ['0x0', '0xffffffffffffffff'], nesting: true }],
      devices: [{ bdf: '0000:00:02.0', group: 2, max_pasids: 4 }],
    });
    const again = parseCapture(JSON.stringify(headerToRecord({ ...read, kernel: '7.3', topology }))).header;
    expect(again).toMatchObject({ kernel: '7.3', raw: { mine: [1] } });
    expect(again.topology.instances[0]).toMatchObject({
      aperture: [0n, 2n ** 64n - 1n],
      raw: { nesting: true },
    });
    expect(again.topology.devices[0]).toMatchObject({ path: null, group: 2, raw: { max_pasids: 4 } });
    expect(headerToRecord(EMPTY_HEADER)).toBeNull();
  });
});
