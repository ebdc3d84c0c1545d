import { type Command, Option } from 'commander';
import type { ExportSource, ExportSummary } from '../../trace/index.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { CALL_FORMATS, type CallFormat, writeCalls } from '../export-format.ts';
import { addExamples, parseInteger } from '../options.ts';
import { writeWholeFile } from '../out-file.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface ExportFlags {
  readonly format: CallFormat;
  readonly out?: string;
  readonly at?: number;
}

/** `ioasis export`: a trace in another format. */
export function registerExport(program: Command, run: Runner): void {
  const command = program
    .command('export')
    .description('write a trace in another format')
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .addOption(
      new Option('--format <format>', 'what to write').choices([...CALL_FORMATS]).makeOptionMandatory(),
    )
    .option('--out <file>', 'write there in place of stdout; the file appears when it is complete')
    .option('--at <seq>', 'only what was recorded up to this call', parseInteger);
  addExamples(command, [
    [
      'ioasis export run --format capture --out run.jsonl',
      'the capture again: importing it gives the same trace',
    ],
    [
      'ioasis export run.jsonl.gz --format c --out replay.c',
      'a C program that makes the calls on a real kernel',
    ],
    ['ioasis export run --format csv | head', 'one row for each record'],
  ]);
  command.action((name: string, flags: ExportFlags) =>
    run(command, (session) => withTarget(session, name, (target) => exportTrace(session, target, flags))),
  );
}

async function exportTrace(session: Session, target: Target, flags: ExportFlags): Promise<ExitCode> {
  if (flags.out === undefined) {
    report(session, null, writeFormat(session, target, flags, session.write));
    return EXIT.clean;
  }
  const summary = await writeWholeFile(flags.out, async (output) =>
    writeFormat(session, target, flags, (text) => output.write(text)),
  );
  report(session, flags.out, summary);
  return EXIT.clean;
}

function writeFormat(
  session: Session,
  target: Target,
  flags: ExportFlags,
  write: (text: string) => void,
): ExportSummary {
  const progress = startProgress(session, 'exporting', 'calls');
  const source = sourceOf(target, flags, (calls) => progress.update(calls, null));
  try {
    return writeCalls(flags.format, source, write);
  } finally {
    progress.stop();
  }
}

/** The trace as exporters read it, perhaps more than once. */
function sourceOf(
  { store, trace }: Target,
  { at }: ExportFlags,
  onProgress: (calls: number) => void,
): ExportSource {
  let calls = 0;
  return {
    name: trace.name,
    header: trace.header,
    *calls() {
      for (const call of store.readCallsExact(trace.id, at === undefined ? {} : { toSeq: at })) {
        calls += 1;
        onProgress(calls);
        yield call;
      }
    },
  };
}

/** What stands in the file and what does not; on stdout only where the text itself is not there. */
function report(session: Session, out: string | null, { written, leftOut }: ExportSummary): void {
  const names = Object.entries(leftOut);
  if (out !== null && session.json) session.print(JSON.stringify({ out, written, leftOut }));
  else if (out !== null && !session.quiet) session.print(`${out}: ${written} records`);
  if (session.json && out !== null) return;
  for (const [name, count] of names)
    session.remark(`left out, the format cannot hold it: ${count} x ${name}`);
}
