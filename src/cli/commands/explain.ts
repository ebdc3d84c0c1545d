import type { Command } from 'commander';
import { explainCall } from '../../../replay/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { jsonOfExplanation, printExplanation } from '../explain-report.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface ExplainFlags extends ModelFlags {
  readonly at: number;
}

/** `ioasis explain`: what one call met, what the model answers to it and why, and what it changed. */
export function registerExplain(program: Command, run: Runner): void {
  const command = program
    .command('explain')
    .description(
      'explain one call: the objects it names, the checks it passed, why it is refused or what it changed',
    )
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .requiredOption('--at <seq>', 'the call, by its number', parseInteger);
  addModelOptions(command);
  addExamples(command, [
    ['ioasis explain run.jsonl.gz --at 57', 'why call 57 was answered as it was'],
    ['ioasis explain run --at 57 --json', 'the same as one JSON object'],
  ]);
  command.action((name: string, flags: ExplainFlags) =>
    run(command, (session) => withTarget(session, name, (target) => explain(session, target, flags))),
  );
}

function explain(session: Session, { store, trace, label }: Target, flags: ExplainFlags): ExitCode {
  const explanation = explainCall(store, trace.id, flags.at, modelChoiceOf(flags));
  if (explanation === null) throw new UsageError(`${label}: no call has the number ${flags.at}`);
  if (session.json) session.print(jsonOfExplanation(explanation));
  else printExplanation(session, explanation);
  return EXIT.clean;
}
