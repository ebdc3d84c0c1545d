import { type Command, Option } from 'commander';
import {
  divergenceGoal,
  errnoGoal,
  type MinimizeGoal,
  type MinimizeStep,
  minimizeTrace,
  NothingToMinimizeError,
} from '../../../replay/index.ts';
import { type FindingChoice, findingGoal, RULES } from '../../audit/index.ts';
import type { Call, ExportSource } from '../../trace/index.ts';
import { renderCall } from '../call-text.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { CALL_FORMATS, type CallFormat, writeCalls } from '../export-format.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger } from '../options.ts';
import { writeWholeFile } from '../out-file.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface MinimizeFlags extends ModelFlags {
  readonly finding?: string;
  readonly errno?: number;
  readonly divergence?: number;
  readonly out?: string;
  readonly format: CallFormat;
}

/** The event loop gets a turn this often: that is when a signal is seen and the bar moves. */
const TURN_MS = 50;

/** `ioasis minimize`: the smallest trace that still shows something. */
export function registerMinimize(program: Command, run: Runner): void {
  const command = program
    .command('minimize')
    .description(
      'cut a trace down to the calls that show one thing: no single one of them can be left out.\n' +
        'Ids are rewritten, and Ctrl-C leaves the smallest trace found so far',
    )
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .option(
      '--errno <seq>',
      'show that this call is refused, with its errno and for its reason',
      parseInteger,
    )
    .option(
      '--divergence <seq>',
      'show that the answer to this call differs from the modelled one',
      parseInteger,
    )
    .option('--finding <rule>', 'show what lint finds: a rule, or RULE@SEQ for the one at a call')
    .option('--out <file>', 'write the smaller trace there')
    .addOption(
      new Option('--format <format>', 'with --out: what to write')
        .choices([...CALL_FORMATS])
        .default('capture'),
    );
  addModelOptions(command);
  addExamples(command, [
    [
      'ioasis minimize run.jsonl.gz --finding use-after-destroy@812',
      'the calls of a finding of `ioasis lint`',
    ],
    ['ioasis minimize run.jsonl.gz --errno 5021 --out small.jsonl', 'the calls that make call 5021 fail'],
    ['ioasis minimize run --divergence 77 --format c --out repro.c', 'a difference, as a C program'],
  ]);
  command.action((name: string, flags: MinimizeFlags) =>
    run(command, (session) => withTarget(session, name, (target) => minimize(session, target, flags))),
  );
}

async function minimize(session: Session, target: Target, flags: MinimizeFlags): Promise<ExitCode> {
  const { label } = target;
  try {
    const goal = goalOf(target, flags);
    const step = await search(session, target, goal, flags);
    if (flags.out !== undefined) await writeTrace(flags.out, flags.format, target, step.calls);
    report(session, label, step, flags.out);
    return EXIT.clean;
  } catch (error) {
    if (error instanceof NothingToMinimizeError)
      throw new UsageError(`${label}: ${error.message}`, { cause: error });
    throw error;
  }
}

function goalOf({ store, trace }: Target, flags: MinimizeFlags): MinimizeGoal {
  const { errno, divergence, finding } = flags;
  const choice = modelChoiceOf(flags);
  const given = [errno, divergence, finding].filter((flag) => flag !== undefined);
  if (given.length !== 1)
    throw new UsageError(
      'say what the smaller trace must show: --finding, --errno or --divergence, one of them',
    );
  if (finding !== undefined) return findingGoal(store, trace, findingOf(finding), choice);
  return errno !== undefined
    ? errnoGoal(store, trace, errno, choice)
    : divergenceGoal(store, trace, divergence ?? 0, choice);
}

/** Reads `RULE` or `RULE@SEQ`. @throws UsageError for a rule that there is not */
function findingOf(text: string): FindingChoice {
  const [, id = text, at] = /^(.*?)(?:@(\d+))?$/.exec(text) ?? [];
  const rule = RULES.find((each) => each.id === id);
  if (rule === undefined)
    throw new UsageError(`--finding ${id}: no such rule; docs/lint-rules.md has all of them`);
  return { rule, seq: at === undefined ? null : Number(at) };
}

/** Runs the search; the first Ctrl-C ends it with what it has found, the second one as usual. */
async function search(
  session: Session,
  { store, trace }: Target,
  goal: MinimizeGoal,
  flags: MinimizeFlags,
): Promise<MinimizeStep> {
  const progress = startProgress(session, 'minimizing', 'calls');
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  process.once('SIGINT', stop);
  let last: MinimizeStep | null = null;
  let turnMs = performance.now();
  try {
    const onRead = (records: number): void => progress.update(records, trace.callCount);
    for (const step of minimizeTrace(store, trace, goal, { ...modelChoiceOf(flags), onRead })) {
      last = step;
      if (performance.now() - turnMs < TURN_MS) continue;
      progress.update(step.of - step.calls.length, step.of);
      await new Promise((resolve) => setImmediate(resolve));
      turnMs = performance.now();
      if (isStopped) break;
    }
  } finally {
    process.off('SIGINT', stop);
    progress.stop();
  }
  if (last === null) throw new Error('minimizeTrace ended without a step');
  return last;
}

async function writeTrace(
  out: string,
  format: CallFormat,
  { trace }: Target,
  calls: readonly Call[],
): Promise<void> {
  const source: ExportSource = { name: trace.name, header: trace.header, calls: () => calls };
  await writeWholeFile(out, async (output) => writeCalls(format, source, (text) => output.write(text)));
}

function report(session: Session, label: string, step: MinimizeStep, out: string | undefined): void {
  const { calls, of, tests, isMinimal } = step;
  if (session.json) {
    const kept = calls.map(({ seq }) => seq);
    session.print(
      JSON.stringify({ of, calls: calls.length, minimal: isMinimal, tests, kept, out: out ?? null }),
    );
    return;
  }
  const minimal = isMinimal ? 'none can be left out' : 'stopped early, more could go';
  if (!session.quiet) session.print(`${label}: ${calls.length} of ${of} calls, ${minimal} (${tests} tries)`);
  if (out !== undefined) {
    if (!session.quiet) session.print(`written to ${out}`);
    return;
  }
  for (const call of calls) session.print(`${call.seq}  [${call.pid}] ${renderCall(call)}`);
}
