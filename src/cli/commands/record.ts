import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { addExamples } from '../options.ts';
import { requireDynamicProgram } from '../record/dynamic-program.ts';
import { type RecordSummary, recordProgram } from '../record/record-program.ts';
import { findLibrary } from '../record/recorder-library.ts';
import type { Runner, Session } from '../session.ts';

interface RecordFlags {
  readonly out?: string;
  readonly followForks?: true;
  readonly devicePath: readonly string[];
  readonly shim?: string;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

const AFTER = `
The program runs as it would alone: its own input, output and exit code, which is also ours. With --json its
standard output goes to standard error.

A signal goes on to the program, and the capture is whole when the program ends; a second one ends the
recording at once and lets the program run on.`;

/** `ioasis record`: runs a program and keeps every call that it makes on iommufd and VFIO descriptors. */
export function registerRecord(program: Command, run: Runner): void {
  const command = program
    .command('record')
    .description('run a program and record its calls on /dev/iommu and /dev/vfio as a capture')
    .argument('<command...>', 'the program and its arguments; best behind --')
    .passThroughOptions()
    .option('--out <file>', 'capture to write, gzipped when it ends in .gz (default: PROGRAM.jsonl.gz)')
    .option('--follow-forks', 'record the processes that the program starts too')
    .option('--device-path <device=path>', 'take what is open at a path for a device, for tests', collect, [])
    .option('--shim <file>', 'preload library, where it is not the one that npm run build:recorder made');
  addExamples(command, [
    [
      'ioasis record --out run.jsonl.gz -- qemu-system-x86_64 -object iommufd,id=i0 …',
      'record a VMM until it ends',
    ],
    [
      'ioasis record --follow-forks -- ./run-tests.sh && ioasis replay run-tests.sh.jsonl.gz',
      'and its children',
    ],
  ]);
  command.addHelpText('after', AFTER);
  command.action((words: string[], flags: RecordFlags) =>
    run(command, (session) => record(session, words, flags)),
  );
}

async function record(session: Session, words: readonly string[], flags: RecordFlags): Promise<number> {
  const [name = '', ...args] = words;
  const path = requireDynamicProgram(name);
  const library = findLibrary(flags.shim);
  const out = flags.out ?? `${basename(path)}.jsonl.gz`;
  if (flags.out === undefined && existsSync(out)) {
    throw new UsageError(`${out} exists: name another capture with --out`);
  }
  for (const pair of flags.devicePath) requirePair(pair);
  const summary = await recordProgram({
    command: path,
    args,
    out,
    library,
    followsForks: flags.followForks === true,
    devices: flags.devicePath,
    keepsStdout: session.json,
    remark: session.remark,
  });
  report(session, out, summary);
  return summary.exitCode;
}

function requirePair(pair: string): void {
  if (/^\/dev\/[^=\n]+=\/[^\n]+$/.test(pair)) return;
  throw new UsageError(
    `--device-path ${pair}: must be DEVICE=PATH, both absolute, such as /dev/iommu=/dev/null`,
  );
}

function report(session: Session, out: string, { counts, torn, leftRunning, exitCode }: RecordSummary): void {
  const calls = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (session.json) {
    session.print(JSON.stringify({ file: out, calls, counts, torn, leftRunning, exitCode }));
    return;
  }
  session.remark(
    `${out}: ${calls} records${calls === 0 ? ': the program opened none of these devices' : ''}`,
  );
  if (torn > 0) session.remark(`${torn} records were begun and never finished: their processes were killed`);
  if (leftRunning.length > 0) session.remark(`process ${leftRunning.join(', ')} goes on unrecorded`);
}
