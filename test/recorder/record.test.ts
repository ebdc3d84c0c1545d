import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Call, readCapture } from '../../src/trace/index.ts';
import { builtCli, type Run, runCli } from '../cli/run-cli.ts';
import { type Built, buildRecorder, HAS_CC, HAS_PYTHON } from './build.ts';

/** Calls of each of the 8 threads: a million in all. */
const CALLS = Number(process.env['IOASIS_RECORD_CALLS'] ?? '125000');

describe.runIf(HAS_CC)('ioasis record (needs cc)', () => {
  let built: Built;
  beforeAll(() => {
    built = buildRecorder();
  });
  afterAll(() => built.remove());

  const record = (out: string, args: readonly string[], words: readonly string[]): Promise<Run> =>
    runCli(
      [
        ...['record', '--shim', built.shim, '--device-path', `/dev/iommu=${built.device}`],
        ...['--out', join(built.folder, out), ...args, '--', ...words],
      ],
      { env: { IOASIS_STANDIN: built.device, LD_PRELOAD: built.standin } },
    );
  const callsOf = async (out: string): Promise<Call[]> => {
    const calls: Call[] = [];
    const visitor = { header: () => {}, calls: (found: readonly Call[]) => void calls.push(...found) };
    await readCapture(join(built.folder, out), visitor);
    return calls;
  };

  test('keeps every call of 8 threads, forked children and a signal handler, whole and once', async () => {
    const program = built.program('threads');
    const words = [program, built.device, '8', String(CALLS), '10', '100'];
    const { code, stdout, stderr } = await record('threads.jsonl.gz', ['--follow-forks'], words);
    const own = JSON.parse(stdout) as Record<'signals' | 'wrong', number>;
    expect(stderr).not.toContain('never finished');
    expect([code, own.wrong]).toEqual([0, 0]);
    const seen = new Map<bigint, number>();
    let torn = 0;
    const visit = (call: Call): void => {
      if (call.op !== 'ioctl') return;
      const { arg, out } = call;
      const va = arg!.length === 40 ? u64(arg!, 16) : -1n;
      const isBad = va % 7n === 0n;
      const isWhole =
        call.cmd === 0x3b85 &&
        u64(arg!, 24) === 4096n &&
        u64(arg!, 32) === (va & 0xffff_ffffn) &&
        u64(out!, 32) === (isBad ? u64(arg!, 32) : BigInt.asUintN(64, ~va)) &&
        call.ret === (isBad ? -1 : 0) &&
        call.errno === (isBad ? 14 : 0);
      if (!isWhole) torn += 1;
      seen.set(va, (seen.get(va) ?? 0) + 1);
    };
    await readCapture(join(built.folder, 'threads.jsonl.gz'), {
      header: () => {},
      calls: (calls) => calls.forEach(visit),
    });
    expect(torn).toBe(0);
    const countOf = (who: number): number => {
      let count = 0;
      for (const [va, times] of seen) if (Number(va >> 32n) === who) count += times;
      return count;
    };
    expect(Array.from({ length: 8 }, (_, thread) => countOf(thread + 1))).toEqual(new Array(8).fill(CALLS));
    expect(Array.from({ length: 10 }, (_, child) => countOf(2000 + child))).toEqual(new Array(10).fill(100));
    // Handlers may run in children too, which count for themselves.
    expect(countOf(1000)).toBeGreaterThanOrEqual(own.signals);
    expect([...seen].filter(([va, times]) => times !== 1 && Number(va >> 32n) !== 1000)).toEqual([]);
  }, 600_000);

  test('follows descriptors through dup, sockets, exec, vfork and raw system calls', async () => {
    const program = built.program('descriptors');
    const { code } = await record('descriptors.jsonl', ['--follow-forks'], [program, built.device]);
    expect(code).toBe(0);
    const calls = await callsOf('descriptors.jsonl');
    const main = calls[0]!.pid;
    const lines = calls
      .filter(({ op }) => op !== 'note' && op !== 'mmap')
      .map((call) => {
        const who = call.pid === main ? 'main' : 'child';
        const fd = 'fd' in call ? call.fd : '';
        const via = call.extra?.['via'] ?? call.extra?.['by'] ?? '';
        const step = call.op === 'ioctl' ? `step ${u32(call.arg!, 4)}` : '';
        return [who, call.op, fd, step, via].join(' ').replace(/ +/g, ' ').trim();
      });
    const first = calls.find(({ op }) => op === 'open') as { fd: number };
    const [fd, copy] = [first.fd, first.fd + 1];
    expect(lines).toEqual([
      `main open ${fd}`,
      `main ioctl ${fd} step 1`,
      `main open ${copy} dup`,
      `main close ${fd}`,
      `main ioctl ${copy} step 2`,
      'main fork',
      `child close ${copy} fork`,
      expect.stringMatching(/^child open \d+ received$/),
      expect.stringMatching(/^child ioctl \d+ step 3$/),
      'main waitpid',
      `main open ${fd}`,
      `main ioctl ${fd} step 4`,
      'main open 20 dup',
      'main open 21 dup',
      'main ioctl 21 step 5',
      `main close ${fd}`,
      `main close ${copy}`,
      'main ioctl 20 step 6',
      'main fork',
      'child close 20',
      'main waitpid',
      'main close 21 exec',
      'main ioctl 20 step 7',
    ]);
  });

  test('leaves children out without --follow-forks', async () => {
    const program = built.program('threads');
    const { code } = await record('alone.jsonl', [], [program, built.device, '2', '50', '3', '20']);
    expect(code).toBe(0);
    const calls = await callsOf('alone.jsonl');
    expect(new Set(calls.map(({ pid }) => pid)).size).toBe(1);
    expect(calls.filter(({ op }) => op === 'ioctl').length).toBeGreaterThanOrEqual(100);
  });

  test('changes neither output nor exit code of the program, and replays', async () => {
    const run = await record('shell.jsonl.gz', [], ['sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect(run).toMatchObject({ code: 7, stdout: 'out\n' });
    expect(run.stderr).toContain('err\n');
    const { stdout, code } = await runCli(['replay', join(built.folder, 'shell.jsonl.gz')]);
    expect([code, stdout]).toEqual([0, expect.stringContaining('no divergence')]);
  });

  test('ends with a whole capture on SIGINT, and passes the signal on', async () => {
    const program = built.program('endless');
    const out = join(built.folder, 'endless.jsonl.gz');
    const args = [
      'record',
      '--shim',
      built.shim,
      '--device-path',
      `/dev/iommu=${built.device}`,
      '--out',
      out,
    ];
    const child = spawn(process.execPath, [builtCli(), ...args, '--', program, built.device], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.once('data', () => child.kill('SIGINT'));
    const code = await new Promise((done) => child.once('exit', done));
    expect(code).toBe(130);
    const ioctls = (await callsOf('endless.jsonl.gz')).filter(({ op }) => op === 'ioctl');
    expect(ioctls.length).toBeGreaterThan(100);
    expect(ioctls.map(({ op, ...call }) => u32((call as { arg: Uint8Array }).arg, 4))).toEqual(
      ioctls.map((_, index) => index),
    );
    expect(readdirSync(built.folder).filter((name) => /tmp|spool/.test(name))).toEqual([]);
  });

  test('records a Node process, and the child that it hands a descriptor', async () => {
    const program = built.program('threads');
    const script = `
      const fs = require('node:fs');
      const fd = fs.openSync(${JSON.stringify(built.device)}, 'r+');
      const args = ['/proc/self/fd/3', '1', '5', '0', '0'];
      const { spawnSync } = require('node:child_process');
      const { status } = spawnSync(${JSON.stringify(program)}, args, { stdio: [0, 1, 2, fd] });
      fs.closeSync(fd);
      process.exit(status);`;
    const { code } = await record('node.jsonl.gz', ['--follow-forks'], [process.execPath, '-e', script]);
    expect(code).toBe(0);
    const calls = await callsOf('node.jsonl.gz');
    const opened = calls.filter(({ op, extra }) => op === 'open' && extra?.['via'] === undefined);
    expect(opened.length).toBe(2);
    expect(calls.filter(({ op }) => op === 'ioctl').length).toBeGreaterThanOrEqual(5);
    expect(calls.some(({ op, pid }) => op === 'close' && pid === opened[0]!.pid)).toBe(true);
  });

  test.runIf(HAS_PYTHON)('records a Python process (needs python3)', async () => {
    const script = [
      'import fcntl, os, struct',
      `fd = os.open(${JSON.stringify(built.device)}, os.O_RDWR)`,
      'for n in range(100):',
      '    b = bytearray(struct.pack("III", 12, n, 0))',
      '    fcntl.ioctl(fd, 0x3b81, b)',
      '    assert struct.unpack("III", b)[2] == n + 1',
      'os.close(fd)',
    ].join('\n');
    const { code, stderr } = await record('python.jsonl.gz', [], ['python3', '-c', script]);
    expect([code, stderr]).toEqual([0, expect.stringContaining('records')]);
    const ioctls = (await callsOf('python.jsonl.gz')).filter((call) => call.op === 'ioctl');
    expect(ioctls.map(({ arg, out }) => [u32(arg!, 4), u32(out!, 8)])).toEqual(
      ioctls.map((_, n) => [n, n + 1]),
    );
    expect(ioctls).toHaveLength(100);
  });

  test('refuses before the program runs what cannot be recorded or written', async () => {
    const still = join(built.folder, 'static');
    writeFileSync(still, staticElf(), { mode: 0o755 });
    const refusals: readonly (readonly [readonly string[], RegExp])[] = [
      [['--', still], /static: is not dynamically linked, use bpftrace/],
      [['--', 'no-such-program'], /no-such-program: no such program/],
      [['--out', join(built.folder, 'none/x'), '--', 'true'], /none\/x: no such file or directory/],
      [['--device-path', 'x', '--', 'true'], /must be DEVICE=PATH/],
      [['--shim', '/none', '--', 'true'], /npm run build:recorder/],
    ];
    for (const [args, message] of refusals) {
      const { code, stderr } = await runCli(['record', '--shim', built.shim, ...args], { cwd: built.folder });
      expect([code, stderr.trimEnd().split('\n')]).toEqual([2, [expect.stringMatching(message)]]);
    }
    expect(existsSync(join(built.folder, 'static.jsonl.gz'))).toBe(false);
  });

  test('says in the header on which kernel and machine it was', async () => {
    await record('header.jsonl.gz', [], ['true']);
    const text = gunzipSync(readFileSync(join(built.folder, 'header.jsonl.gz'))).toString();
    expect(JSON.parse(text.split('\n')[0]!)).toMatchObject({
      op: 'header',
      format: 'ioasis-capture',
      version: 1,
      kernel: expect.stringMatching(/^\d+\.\d+/),
      page_size: expect.any(Number),
    });
  });
});

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const u32 = (bytes: Uint8Array, at: number): number => viewOf(bytes).getUint32(at, true);
const u64 = (bytes: Uint8Array, at: number): bigint => viewOf(bytes).getBigUint64(at, true);

/** A program without an interpreter: one header that loads nothing. */
function staticElf(): Buffer {
  const elf = Buffer.alloc(64 + 56);
  elf.write('\u007fELF', 'latin1');
  elf.set([2, 1, 1], 4);
  elf.writeUInt16LE(3, 16);
  elf.writeUInt16LE(62, 18);
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(1, 64);
  return elf;
}
