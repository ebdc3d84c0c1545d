import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LINE_BYTES_MAX, readCapture, TraceError } from '../../src/trace/index.ts';

const CLOSE = '{"seq":0,"pid":1,"op":"close","fd":3,"kind":"iommufd","ret":0,"errno":0}';

const MAP = {
  ...{ seq: 1, pid: 1, op: 'ioctl', fd: 3, kind: 'iommufd', cmd: '0x3b85', argp: '0x7ffe07f04a58' },
  arg: `28000000${'00'.repeat(36)}`,
  ...{ mem: [], ret: 0, errno: 0 },
};

const map = (changes: object): string => `${CLOSE}\n${JSON.stringify({ ...MAP, ...changes })}\n`;
const line = (record: object): string => `${CLOSE}\n${JSON.stringify({ seq: 1, pid: 1, ...record })}\n`;
const buffer = (changes: object): string => map({ mem: [{ addr: '0x0', len: 1, dir: 'in', ...changes }] });

const CASES: readonly [string, string | Buffer, string][] = [
  ['an odd number of hex digits', map({ arg: '280' }), ':2: "arg" must be an even number of hex digits'],
  ['a character that is not hex', map({ arg: '2800000g' }), ':2: "arg" must hold hex digits only'],
  ['the same in a long one', map({ arg: `${'00'.repeat(99)}zz` }), ':2: "arg" must hold hex digits only'],
  [
    'a struct cut in half',
    map({ arg: `28000000${'00'.repeat(16)}` }),
    ':2: "arg" holds 20 bytes but its size field says 40',
  ],
  ['a struct without its size', map({ arg: '2800' }), ':2: "arg" holds 2 bytes, too few for its size field'],
  ['a struct cut after the call', map({ out: '28000000' }), ':2: "out" holds 4 bytes but "arg" holds 40'],
  [
    'a VFIO struct cut in half',
    map({ kind: 'container', cmd: '0x3b71', arg: '2000000000000000' }),
    ':2: "arg" holds 8 bytes but its size field says 32',
  ],
  [
    'a struct left out',
    map({ arg: { skip: 4, crc32: '00000000' } }),
    ':2: "arg" must hold the bytes of the struct',
  ],
  ['a missing key', map({ cmd: undefined }), ':2: "cmd" is missing'],
  ['a missing descriptor', map({ fd: undefined }), ':2: "fd" is missing'],
  ['a descriptor that is text', map({ fd: '3' }), ':2: "fd" must be an integer'],
  [
    'an address of more than 64 bits',
    map({ argp: '0x10000000000000000' }),
    ':2: "argp" must be a hex string of at most 64 bits',
  ],
  [
    'a buffer of unknown direction',
    buffer({ dir: 'up' }),
    ':2: "dir" must be in, out or inout (in "mem[0]")',
  ],
  [
    'a buffer of odd hex',
    buffer({ before: 'abc' }),
    ':2: "before" must be an even number of hex digits (in "mem[0]")',
  ],
  [
    'same without before',
    buffer({ same: true }),
    ':2: "same" says that "after" is "before", but "before" is missing',
  ],
  ['a wild run of zeros', buffer({ before: { zero: 2 ** 40 } }), ':2: "before" must not hold more than'],
  [
    'a note of bad hex',
    line({ op: 'note', kind: 'usermem', va: '0x0', len: 1, hex: 'x' }),
    ':2: "hex" must be an even',
  ],
  ['seq that does not ascend', map({ seq: 0 }), ':2: "seq" is 0 but must be above 0, the one before'],
  ['a number that is no integer', map({ seq: 1.5 }), ':2: "seq" must be an integer'],
  ['text that is no JSON', `${CLOSE}\nhello\n`, ':2: must be one JSON object a line, found "hello"'],
  ['a line cut in half', `${CLOSE}\n${CLOSE.slice(0, 20)}`, ':2: must be one JSON object a line, found'],
  ['JSON that is no object', '[1]\n', ':1: must be a JSON object, found "[1]"'],
  ['a record without op', '{}', ':1: "op" is missing'],
  ['a header in the middle', line({ op: 'header' }), ':2: the header must be the first record'],
  ['another format', '{"op":"header","format":"pcap"}', ':1: header "format":'],
  ['a newer version', '{"op":"header","version":2}', ':1: header "version":'],
  [
    'a broken topology',
    '{"op":"header","topology":{"instances":[{}]}}',
    ':1: header "topology.instances.0.name":',
  ],
  [
    'text that is not UTF-8',
    Buffer.from([...Buffer.from(`${CLOSE}\n`), 0x7b, 0xff, 0xfe, 10]),
    ':2: is not UTF-8 text',
  ],
  ['an empty file', '', ': holds no records'],
  ['nothing but blank lines', '\n \n\n', ': holds no records'],
  ['gzip of nothing', gzipSync(''), ': holds no records'],
  [
    'gzip cut off',
    gzipSync(`${CLOSE}\n`.repeat(1)).subarray(0, 40),
    ':1: the gzip data ends too early: the file was cut off',
  ],
  [
    'gzip of garbage',
    Buffer.from('1f8b0800000000000003ffffffffffffffff', 'hex'),
    ':1: the gzip data is damaged',
  ],
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ioasis-bad-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function failureOf(source: string, stdin?: Readable): Promise<TraceError> {
  const failure = await readCapture(source, {}, stdin === undefined ? {} : { stdin }).catch(
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(TraceError);
  return failure as TraceError;
}

describe('a malformed capture gives one error with file and line', () => {
  test.each(CASES)('%s', async (_name, content, message) => {
    const path = join(folder, 'bad.jsonl');
    writeFileSync(path, content);
    const failure = await failureOf(path);
    expect(failure.message.startsWith(path + message), failure.message).toBe(true);
    expect(failure.message).not.toContain('\n');
  });

  test('a missing file', async () => {
    expect((await failureOf(join(folder, 'none'))).message).toBe(`${join(folder, 'none')}: no such file`);
  });

  test('a directory', async () => {
    mkdirSync(join(folder, 'dir'));
    expect((await failureOf(join(folder, 'dir'))).message).toContain('dir: is a directory, not a capture');
  });

  test('gzip cut off after some lines names the line that is missing', async () => {
    const lines = Array.from({ length: 50_000 }, (_, seq) => CLOSE.replace('"seq":0', `"seq":${seq * 7}`));
    const packed = gzipSync(`${lines.join('\n')}\n`);
    const path = join(folder, 'cut.jsonl.gz');
    writeFileSync(path, packed.subarray(0, packed.length / 2));
    const failure = await failureOf(path);
    expect(failure.problem).toBe('the gzip data ends too early: the file was cut off');
    expect(failure.lineNumber).toBeGreaterThan(10_000);
  });

  test('an endless line is given up on without being read to its end', async () => {
    let chunkCount = 0;
    const endless = function* (): Generator<Buffer> {
      for (;;) {
        chunkCount++;
        yield Buffer.alloc(1024 * 1024, 'x');
      }
    };
    const failure = await failureOf('-', Readable.from(endless()));
    expect(failure.message).toContain(`<stdin>:1: line is longer than ${LINE_BYTES_MAX} bytes`);
    expect(chunkCount).toBeLessThan(2 * (LINE_BYTES_MAX / (1024 * 1024)));
  });

  test('a long line that has an end is refused too', async () => {
    const long = `${JSON.stringify({ op: 'note', pid: 1, kind: 'marker', text: 'x'.repeat(LINE_BYTES_MAX) })}\n`;
    const failure = await failureOf('-', Readable.from([Buffer.from(`${CLOSE}\n${long}`)]));
    expect(failure.message).toContain('<stdin>:2: line is longer than');
  });
});

describe('what only looks malformed is accepted', () => {
  test.each([
    ['a struct cut at 4096 bytes', map({ arg: `ffffffff${'00'.repeat(4092)}` })],
    ['a struct behind a bad pointer', map({ arg: '', out: '', argfault: true })],
    ['a last line without newline', CLOSE],
    ['a byte order mark', `\ufeff${CLOSE}`],
  ])('%s', async (_name, content) => {
    const path = join(folder, 'good.jsonl');
    writeFileSync(path, content);
    await expect(readCapture(path, {})).resolves.toMatchObject({ skipped: {} });
  });
});
