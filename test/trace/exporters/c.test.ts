import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Call, type Capture, exportC, sitesOf } from '../../../src/trace/index.ts';
import { describeCall, sourceOfCapture, textOf } from '../../support/export-source.ts';
import { readFixture } from '../../support/fixtures.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const FOLDER = mkdtempSync(join(tmpdir(), 'ioasis-c-'));
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

/** Those that there are. */
const COMPILERS = ['cc', 'clang'].filter((name) => spawnSync(name, ['--version']).status === 0);

/** One trace of each kind: forks, files in memory, groups and containers, PCI devices, faults, limits. */
const TRACES: readonly (readonly [string, string])[] = [
  ['linux-6.12-selftests', 'iommufd_ioas.mock_domain.fork_gone'],
  ['linux-6.12-selftests', 'iommufd_ioas.mock_domain.alloc_hwpt_nested'],
  ['linux-6.12-selftests', 'iommufd.cmd_length'],
  ['linux-6.12-fuzz-mock', 'seed-7'],
  ['linux-6.12-limits', 'hardware'],
  ['linux-6.12-vtd', 'classic48-legacy-v2'],
  ['linux-6.12-vfio', 'scalable-seed-3'],
  ['linux-6.12-vmm', 'a'],
  ['linux-7.3-selftests', 'iommufd_mock_domain.one_domain_file.basic'],
  ['linux-7.3-arm', 'canwbs-nest-event'],
  ['linux-7.3-dmabuf', 'iommufd_ioas.mock_domain.dmabuf_simple'],
];

function programOf(capture: Capture): string {
  return textOf((write) => exportC(sourceOfCapture(capture), write, { describe: describeCall })).text;
}

function compile(name: string, program: string, ...options: string[]): string {
  const source = join(FOLDER, `${name}.c`);
  writeFileSync(source, program);
  for (const compiler of COMPILERS) {
    const { status, stderr } = spawnSync(compiler, ['-Wall', '-Werror', ...options, source], {
      encoding: 'utf8',
      cwd: FOLDER,
    });
    expect({ stderr, status }, `${compiler} ${name}`).toEqual({ stderr: '', status: 0 });
  }
  return source;
}

describe('an exported C program', () => {
  test.each(TRACES)('of %s/%s compiles without a warning', (folder, name) => {
    if (COMPILERS.length === 0) return;
    compile(name, programOf(readFixture(name, join(FIXTURES, folder))), '-fsyntax-only');
  });

  test('names what a call gave wherever later calls use it', () => {
    const program = programOf(readFixture('iommufd_mock_domain.two_domains.basic'));
    // seq 57 makes the page table, and a later MD_CHECK_MAP names it.
    expect(program).toContain('v->hwpt_0 = get32(a, 20);');
    expect(program).toContain('put32(a, 8, v->hwpt_0);');
    expect(program).toContain('put64(a, 16, v->memory_0);');
  });

  test('says what it leaves out, and counts it', () => {
    const capture = readFixture('a', join(FIXTURES, 'linux-6.12-vmm'));
    const { text, summary } = textOf((write) =>
      exportC(sourceOfCapture(capture), write, { describe: describeCall }),
    );
    const left = Object.values(summary.leftOut).reduce((sum, count) => sum + count, 0);
    expect(summary.written + left).toBe(capture.calls.length);
    expect(summary.leftOut['note exit']).toBe(1);
    expect(text).not.toContain('undefined');
  });

  test('holds any bytes of a marker as text', () => {
    const capture = readFixture('iommufd_mock_domain.two_domains.basic');
    const { pid, tid, tNs } = capture.calls[0]!;
    const text = 'ends " with \\ ?\u003f/ a */ comment\n%s';
    const marker: Call = { op: 'note', kind: 'marker', seq: 0, pid, tid, tNs, extra: null, fields: { text } };
    if (COMPILERS.length === 0) return;
    const source = compile('marker', programOf({ ...capture, calls: [marker] }), '-o', 'marker');
    expect(source).toContain('marker');
    const { stdout } = spawnSync(join(FOLDER, 'marker'), { encoding: 'utf8' });
    expect(stdout).toContain(`# ${text}\n`);
  });
});

describe('the calls of an exported C program, without a kernel that answers them', () => {
  // seed-1 has no huge pages that must be there, and fixed addresses.
  test.each(['seed-1', 'seed-42'])('ask the same as the trace: %s', (name) => {
    if (COMPILERS.length === 0 || process.platform !== 'linux') return;
    const capture = readFixture(name, join(FIXTURES, 'linux-6.12-fuzz-mock'));
    mkdirSync(join(FOLDER, 'dev'), { recursive: true });
    writeFileSync(join(FOLDER, 'dev/iommu'), '');
    compile(name, programOf(capture), `-DDEV_ROOT="${FOLDER}"`, '-include', spyHeader(), '-o', name);
    const { stderr } = spawnSync(join(FOLDER, name), { encoding: 'utf8', maxBuffer: 1 << 26 });
    const asked = stderr.split('\n').filter((line) => line.startsWith('ioctl '));
    const wanted = capture.calls.flatMap((call) => (call.op === 'ioctl' ? [lineOf(call)] : []));
    expect(asked).toHaveLength(wanted.length);
    expect(asked.map((line, index) => withoutAddresses(line, capture, index))).toEqual(wanted);
  });
});

/** A header that makes each ioctl print what it is asked. */
function spyHeader(): string {
  const path = join(FOLDER, 'spy.h');
  writeFileSync(
    path,
    [
      '#include <stdio.h>\n#include <stdint.h>\n#include <sys/ioctl.h>',
      'static inline int spy(int fd, unsigned long cmd, void *arg, int is_struct)',
      '{',
      '\tconst uint8_t *bytes = arg;',
      '\tfprintf(stderr, "ioctl %lx ", cmd);',
      '\tfor (int i = 0; is_struct && i < 72; i++)',
      '\t\tfprintf(stderr, "%02x", bytes[i]);',
      '\tfprintf(stderr, "\\n");',
      '\treturn ioctl(fd, cmd, arg);',
      '}',
      '#define ioctl(fd, cmd, arg) spy(fd, cmd, (void *)(uintptr_t)(arg), \\',
      '\t__builtin_types_compatible_p(__typeof__(arg), uint8_t *))',
      '',
    ].join('\n'),
  );
  return path;
}

const SHOWN = 72;

function lineOf(call: Extract<Call, { op: 'ioctl' }>): string {
  const bytes = Buffer.alloc(SHOWN);
  Buffer.from(call.arg ?? []).copy(bytes, 0, 0, SHOWN);
  clearAddresses(bytes, call);
  const hasStruct = call.arg !== null && !call.argFault;
  return `ioctl ${call.cmd.toString(16)} ${hasStruct ? bytes.toString('hex') : ''}`;
}

/** Memory may lie elsewhere in this run. */
function clearAddresses(bytes: Buffer, call: Extract<Call, { op: 'ioctl' }>): void {
  for (const { role, offset } of sitesOf(call)) if (role === 'address') bytes.fill(0, offset, offset + 8);
}

function withoutAddresses(line: string, { calls }: Capture, index: number): string {
  const call = calls.filter(({ op }) => op === 'ioctl')[index];
  const [word = '', cmd = '', hex = ''] = line.split(' ');
  const bytes = Buffer.from(hex, 'hex');
  if (call?.op === 'ioctl' && bytes.length > 0) clearAddresses(bytes, call);
  return `${word} ${cmd} ${bytes.toString('hex')}`;
}
