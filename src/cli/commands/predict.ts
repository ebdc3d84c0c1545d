import type { Command } from 'commander';
import { type PredictSummary, predictTrace } from '../../../replay/index.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples } from '../options.ts';
import { writeWholeFile } from '../out-file.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface PredictFlags extends ModelFlags {
  readonly out?: string;
}

/** `ioasis predict`: what the model answers, without a look at what was recorded. */
export function registerPredict(program: Command, run: Runner): void {
  const command = program
    .command('predict')
    .description('predict the answer to every call, as JSON lines; recorded answers are not looked at')
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .option('--out <file>', 'write there in place of stdout; the file appears when it is complete');
  addModelOptions(command);
  addExamples(command, [
    ['ioasis predict run.jsonl.gz --out answers.jsonl', 'one JSON line for each call'],
    ['ioasis predict run.jsonl | grep \'"errno":22\'', 'calls that the model refuses with EINVAL'],
  ]);
  command.action((name: string, flags: PredictFlags) =>
    run(command, (session) => withTarget(session, name, (target) => predict(session, target, flags))),
  );
}

async function predict(session: Session, target: Target, flags: PredictFlags): Promise<ExitCode> {
  if (flags.out === undefined) {
    predictLines(session, target, flags, session.print);
    return EXIT.clean;
  }
  const summary = await writeWholeFile(flags.out, async (output) =>
    predictLines(session, target, flags, (line) => output.write(`${line}\n`)),
  );
  report(session, flags.out, summary);
  return EXIT.clean;
}

function predictLines(
  session: Session,
  { store, trace }: Target,
  flags: PredictFlags,
  write: (line: string) => void,
): PredictSummary {
  const choice = modelChoiceOf(flags);
  const progress = startProgress(session, 'predicting', 'calls');
  try {
    return predictTrace(store, trace.id, (prediction) => write(JSON.stringify(prediction)), {
      ...choice,
      onProgress: (calls) => progress.update(calls, trace.callCount),
    });
  } finally {
    progress.stop();
  }
}

function report(session: Session, out: string, summary: PredictSummary): void {
  const { calls, predicted, unknown } = summary;
  if (session.json) session.print(JSON.stringify({ out, calls, predicted, unknown }));
  else if (!session.quiet) {
    session.print(
      `${out}: ${calls} calls, ${predicted} predicted in full, ${unknown} with something unknown`,
    );
  }
}
