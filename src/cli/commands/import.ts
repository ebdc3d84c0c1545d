import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { openStore, type Store } from '../../../store/index.ts';
import { FORMAT_NAMES, type TraceSummary } from '../../trace/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { BATCH_CALLS_DEFAULT, importCapture } from '../import-capture.ts';
import { reportImport } from '../import-report.ts';
import { readTopology } from '../model-options.ts';
import { addExamples, parsePositive } from '../options.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { traceNameOf } from '../target.ts';

interface ImportFlags {
  readonly name?: string;
  readonly kernel?: string;
  readonly topology?: string;
  readonly batch: number;
  readonly format: string;
}

/** `ioasis import`: captures, and what other tools recorded, become sealed traces of the store. */
export function registerImport(program: Command, run: Runner): void {
  const command = program
    .command('import')
    .description('read captures, and logs of other tools, into the store')
    .argument('<file...>', 'capture, or a log of another tool; plain or gzip; - for standard input')
    .option('--name <name>', "name of the trace (default: the file's, without .jsonl or .jsonl.gz)")
    .option('--kernel <release>', 'kernel in place of the recorded one, such as 6.12.117')
    .option('--topology <file>', 'JSON with hardware facts, in place of the recorded ones')
    .addOption(
      new Option('--format <format>', 'format of the files; auto tells it by their content')
        .choices(['auto', ...FORMAT_NAMES])
        .default('auto'),
    )
    .option('--batch <calls>', 'calls that one transaction adds', parsePositive, BATCH_CALLS_DEFAULT);
  addExamples(command, [
    ['ioasis import run.jsonl.gz', 'keep a capture as trace "run" in ./ioasis.db'],
    ['zcat run.jsonl.gz | ioasis import - --name first', 'read it from a pipe'],
    ['ioasis import qemu-trace.log --name guest', "keep what QEMU's -trace told"],
  ]);
  command.action((files: string[], flags: ImportFlags) =>
    run(command, (session) => importFiles(session, files, flags)),
  );
}

async function importFiles(
  session: Session,
  files: readonly string[],
  flags: ImportFlags,
): Promise<ExitCode> {
  const names = namesOf(files, flags);
  const topology = flags.topology === undefined ? null : readTopology(flags.topology);
  const isNewStore = !existsSync(session.store);
  const store = openStore(session.store);
  try {
    if (!isNewStore) for (const name of names) requireFree(session, store, name);
    for (const [index, source] of files.entries()) {
      const name = names[index] ?? '';
      const progress = startProgress(session, name, 'bytes');
      let summary: TraceSummary | null = null;
      try {
        const trace = await importCapture(store, source, {
          name,
          topology,
          kernel: flags.kernel ?? null,
          batchCalls: flags.batch,
          onProgress: progress.update,
          onSummary: (read) => {
            summary = read;
          },
          ...(flags.format === 'auto' ? {} : { format: flags.format }),
        });
        progress.stop();
        if (summary !== null) reportImport(session, source, trace, summary);
      } finally {
        progress.stop();
      }
    }
  } finally {
    store.close();
  }
  return EXIT.clean;
}

function namesOf(files: readonly string[], { name }: ImportFlags): readonly string[] {
  if (name === '') throw new UsageError('--name must not be empty');
  if (name !== undefined && files.length > 1) {
    throw new UsageError(`--name names one trace, but ${files.length} files are given`);
  }
  const names = files.map((file) => name ?? traceNameOf(file));
  for (const [index, found] of names.entries()) {
    const first = names.indexOf(found);
    if (first < index) {
      throw new UsageError(
        `${files[first]} and ${files[index]} would both be trace "${found}": import one with --name`,
      );
    }
  }
  return names;
}

/** What a killed import left behind is no trace: it is replaced. */
function requireFree(session: Session, store: Store, name: string): void {
  const trace = store.findTrace(name);
  if (trace === null) return;
  if (trace.state === 'sealed') {
    throw new UsageError(`${session.store} already holds a trace "${name}": give another name with --name`);
  }
  session.remark(`trace "${name}" was left incomplete by an import that did not end; it is read again`);
  store.discardTrace(trace.id);
}
