import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

/** Whether programs can be compiled here; the name of a test that needs it says so. */
export const HAS_CC = spawnSync('cc', ['--version']).status === 0;
export const HAS_PYTHON = spawnSync('python3', ['--version']).status === 0;

/** The recorder and the test programs, built into a folder of their own. */
export interface Built {
  readonly folder: string;
  readonly shim: string;
  readonly standin: string;
  /** File that stands for /dev/iommu. */
  readonly device: string;
  program(name: string): string;
  remove(): void;
}

/** Builds what the tests of the recorder run. */
export function buildRecorder(): Built {
  const folder = mkdtempSync(join(tmpdir(), 'ioasis-recorder-'));
  const shim = join(folder, 'shim.so');
  run('sh', [join(ROOT, 'recorder/build.sh'), shim], { CFLAGS: '-Werror' });
  const standin = join(folder, 'standin.so');
  compile(join('standin.c'), ['-shared', '-fPIC', '-o', standin]);
  const device = join(folder, 'iommu');
  writeFileSync(device, '');
  return {
    folder,
    shim,
    standin,
    device,
    program(name) {
      const path = join(folder, name);
      compile(`${name}.c`, ['-pthread', '-o', path]);
      return path;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function compile(source: string, args: readonly string[]): void {
  run('cc', ['-O1', '-Wall', '-Wextra', join(import.meta.dirname, 'programs', source), ...args]);
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  const { status, stderr } = spawnSync(command, args, { env: { ...process.env, ...env }, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}
