import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { against, type BenchResult, result } from './measure.ts';

/** Nanoseconds per call, as recorder/bench/overhead.c prints them. */
interface Cost {
  readonly meanNs: number;
  readonly medianNs: number;
  readonly cpuNs: number;
}

/**
 * What the recorder adds to a call, beside the same calls alone: on a file that no driver answers, so that
 * all that is left is the system call. Needs cc; without it there are no figures.
 */
export function measureRecord(
  folder: string,
  calls: number,
  say: (line: string) => void,
): readonly BenchResult[] {
  const recorder = findRecorder();
  const program = join(folder, 'overhead');
  const source = join(recorder, 'bench/overhead.c');
  if (spawnSync('cc', ['-O2', '-o', program, source]).status !== 0) {
    say('no cc: the recorder is not measured');
    return [];
  }
  const shim = join(folder, 'shim.so');
  run('sh', [join(recorder, 'build.sh'), shim]);
  const device = join(folder, 'iommu');
  writeFileSync(device, '');
  const words = [program, device, String(calls)];
  const bare = JSON.parse(run(program, words.slice(1))) as Cost;
  const cli = join(import.meta.dirname, '../src/cli/main.js');
  const flags = [
    '--shim',
    shim,
    '--device-path',
    `/dev/iommu=${device}`,
    '--out',
    join(folder, 'o.jsonl.gz'),
  ];
  const recorded = JSON.parse(run(process.execPath, [cli, 'record', ...flags, '--', ...words])) as Cost;
  const row = (name: string, of: (cost: Cost) => number): readonly BenchResult[] => {
    const baseline = result(`ioctl-${name}`, of(bare) / 1000, 'us/call');
    return [baseline, against(`ioctl-recorded-${name}`, of(recorded) / 1000, 'us/call', baseline)];
  };
  return [
    ...row('mean', ({ meanNs }) => meanNs),
    ...row('median', ({ medianNs }) => medianNs),
    ...row('cpu', ({ cpuNs }) => cpuNs),
  ];
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** The sources are not compiled: they stand beside the package's own file. */
function findRecorder(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'recorder/build.sh'))) return join(folder, 'recorder');
  }
  throw new Error('there is no recorder/ beside the package');
}
