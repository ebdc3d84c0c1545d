import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeRecord } from '../../src/trace/index.ts';
import { createIoctlLineReader } from '../../src/trace/ioctl-line.ts';
import { parseRecord } from '../../src/trace/parse-record.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures');

/** Lines of some captures of different recorders and kernels. */
const LINES = ['linux-6.12-selftests', 'linux-7.3-mock', 'linux-6.12-vfio-pci', 'linux-6.12-vmm']
  .flatMap((folder) => {
    const files = readdirSync(join(FIXTURES, folder)).filter((name) => name.endsWith('.jsonl.gz'));
    return files.slice(0, 4).map((name) => join(FIXTURES, folder, name));
  })
  .flatMap((path) => gunzipSync(readFileSync(path)).toString().trimEnd().split('\n').slice(0, 1500));

/** As the general reader has it: the call as a line, or what is wrong. */
function general(line: string): string {
  try {
    const record = parseRecord(line, { fileName: 'f', lineNumber: 1, previousSeq: -1 });
    return record.type === 'call' ? writeRecord(record.call) : record.type;
  } catch (error) {
    return `error: ${(error as Error).message}`;
  }
}

/** As the reader of bytes has it; null where it leaves the line alone. */
function usual(reader: ReturnType<typeof createIoctlLineReader>, line: string): string | null {
  const bytes = Buffer.from(`${line}\nnext`);
  const next = reader.read(bytes, 0);
  if (next === -1) return null;
  expect(next).toBe(bytes.length - 'next'.length);
  return writeRecord(reader.call);
}

describe('the line of an ioctl, read from its bytes', () => {
  test('is the call that the general reader makes of it', () => {
    const reader = createIoctlLineReader();
    let read = 0;
    for (const line of LINES) {
      const found = usual(reader, line);
      if (found === null) continue;
      read += 1;
      if (found !== general(line)) expect(found, line).toBe(general(line));
    }
    const ioctls = LINES.filter((line) => line.includes('"op":"ioctl"') && line.includes('"mem":[]'));
    expect(ioctls.length).toBeGreaterThan(3000);
    expect(read / ioctls.length).toBeGreaterThan(0.95);
  });

  test('with keys in any order, of our own recorder too', () => {
    const reader = createIoctlLineReader();
    const line =
      '{"seq":7,"pid":12,"tid":13,"t_ns":5000000000001,"dt_ns":1200,"op":"ioctl","fd":3,"kind":"device",' +
      '"cmd":"0x3b6f","argp":"0x0","mem":[],"ret":-1,"errno":22}';
    expect(usual(reader, line)).toBe(general(line));
    const keys = line.slice(1, -1).split(/,(?=")/);
    expect(usual(reader, `{${keys.reverse().join(',')}}`)).toBe(general(line));
    const same =
      '{"op":"ioctl","cmd":"0x3b80","fd":0,"kind":"?","argp":"0x1","pid":1,"seq":0,"arg":"FF","same":true}';
    expect(usual(reader, same)).toBe(general(same));
  });

  test.each([
    [
      'a key twice',
      '{"seq":1,"seq":2,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"}',
    ],
    [
      'another key',
      '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0","a":1}',
    ],
    ['a space', '{"seq":1, "pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"}'],
    ['an escape', '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommuf\\u0064","cmd":"0x3b81","argp":"0x0"}'],
    ['a leading zero', '{"seq":01,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"}'],
    ['a fraction', '{"seq":1.0,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"}'],
    ['minus zero', '{"seq":1,"pid":-0,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"}'],
    [
      'a long number',
      '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0xffffffffffffffff"}',
    ],
    [
      'half a byte',
      '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0","arg":"0"}',
    ],
    [
      'an answer without its error number',
      '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0","ret":0}',
    ],
    [
      '"out" without "arg"',
      '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0","out":"00"}',
    ],
    ['an end too early', '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"'],
    [
      'something behind it',
      '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x0"}}',
    ],
    ['no command', '{"seq":1,"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","argp":"0x0"}'],
  ])('%s is left to the general reader', (_, line) => {
    expect(usual(createIoctlLineReader(), line)).toBeNull();
  });

  test('that was damaged is left alone, or is what the general reader makes of it', () => {
    const reader = createIoctlLineReader();
    const ioctls = LINES.filter((line) => line.includes('"op":"ioctl"') && line.length < 600);
    const damage = fc.record({
      line: fc.nat(ioctls.length - 1),
      at: fc.nat(600),
      length: fc.nat(3),
      text: fc.constantFrom(
        '',
        '0',
        '9',
        '-',
        '"',
        ',',
        ':',
        '{',
        '}',
        '[',
        ']',
        ' ',
        'x',
        'F',
        'e',
        '\\',
        'ü',
        '\u0000',
      ),
    });
    fc.assert(
      fc.property(damage, ({ line, at, length, text }) => {
        const whole = ioctls[line]!;
        const damaged = whole.slice(0, at) + text + whole.slice(at + length);
        const found = usual(reader, damaged);
        // What follows from the struct's own size is checked behind both.
        const wanted = general(damaged);
        if (found !== null && !/size field|"out" holds/.test(wanted)) expect(found).toBe(wanted);
      }),
      { numRuns: 20_000 },
    );
  });
});
