import { type Command, Option } from 'commander';
import { objectGraph, renderGraph, replayTrace } from '../../../replay/index.ts';
import { lintTrace } from '../../audit/index.ts';
import { type Kernel, NO_EFFECTS } from '../../model/index.ts';
import { type ExportSource, type ExportSummary, exportPerfetto } from '../../trace/index.ts';
import { renderCall } from '../call-text.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { CALL_FORMATS, type CallFormat, writeCalls } from '../export-format.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger } from '../options.ts';
import { writeWholeFile } from '../out-file.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

const FORMATS = [...CALL_FORMATS, 'perfetto', 'mermaid'] as const;

interface ExportFlags extends ModelFlags {
  readonly format: CallFormat | 'perfetto' | 'mermaid';
  readonly out?: string;
  readonly at?: number;
}

/** `ioasis export`: a trace in another format. */
export function registerExport(program: Command, run: Runner): void {
  const command = program
    .command('export')
    .description('write a trace in another format')
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .addOption(new Option('--format <format>', 'what to write').choices([...FORMATS]).makeOptionMandatory())
    .option('--out <file>', 'write there in place of stdout; the file appears when it is complete')
    .option(
      '--at <seq>',
      'only what was recorded up to this call; mermaid: the objects after it',
      parseInteger,
    );
  addModelOptions(command);
  addExamples(command, [
    [
      'ioasis export run --format capture --out run.jsonl',
      'the capture again: importing it gives the same trace',
    ],
    [
      'ioasis export run.jsonl.gz --format c --out replay.c',
      'a C program that makes the calls on a real kernel',
    ],
    [
      'ioasis export run --format syzkaller --out run.syz',
      'a syzkaller program of the calls that it describes',
    ],
    ['ioasis export run --format perfetto --out run.json', 'open it in https://ui.perfetto.dev'],
    ['ioasis export run --format mermaid --at 57', 'the object graph after call 57'],
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
    switch (flags.format) {
      case 'mermaid':
        return writeGraph(target, flags, write);
      case 'perfetto':
        return exportPerfetto(source, write, { describe: renderCall, marks: findingsOf(target, flags) });
      default:
        return writeCalls(flags.format, source, write);
    }
  } finally {
    progress.stop();
  }
}

/** The objects that live after a call, and who refers to whom. */
function writeGraph(
  { store, trace }: Target,
  flags: ExportFlags,
  write: (text: string) => void,
): ExportSummary {
  let kernel: Kernel | null = null;
  replayTrace(store, trace.id, {
    ...modelChoiceOf(flags),
    ...(flags.at === undefined ? {} : { untilSeq: flags.at }),
    watch: (made) => {
      kernel = made;
      return { effects: NO_EFFECTS, before: () => undefined, after: () => undefined };
    },
  });
  if (kernel === null) throw new Error('a replay makes a kernel');
  const text = renderGraph(objectGraph(kernel, flags.at ?? trace.lastSeq ?? 0));
  write(text.endsWith('\n') ? text : `${text}\n`);
  return { written: 1, leftOut: {} };
}

/** What lint finds, to be marked at its calls. */
function findingsOf({ store, trace }: Target, flags: ExportFlags) {
  const range = flags.at === undefined ? {} : { untilSeq: flags.at };
  const { findings } = lintTrace(store, trace.id, { ...modelChoiceOf(flags), ...range });
  return findings.map(({ id, seq, severity, message }) => ({ name: id, seq, severity, message }));
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
  else if (out !== null && !session.quiet)
    session.print(`${out}: ${written} ${written === 1 ? 'record' : 'records'}`);
  if (session.json && out !== null) return;
  for (const [name, count] of names)
    session.remark(`left out, the format cannot hold it: ${count} x ${name}`);
}
