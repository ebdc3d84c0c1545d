import type { Command } from 'commander';
import { type ReplayResult, replayTrace } from '../../../replay/index.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger, parsePositive, STORE_DEFAULT } from '../options.ts';
import { startProgress } from '../progress.ts';
import { jsonOfReplay, printReplay } from '../replay-report.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

/** Divergences that are shown to a person. */
const SHOWN_DEFAULT = 20;
/** Divergences that JSON output has. */
const KEPT_DEFAULT = 1000;

interface ReplayFlags extends ModelFlags {
  readonly until?: number;
  readonly snapshots?: number;
  readonly batch?: number;
  readonly maxDivergences?: number;
}

/** `ioasis replay`: traces through the model, each answer compared with the recorded one. */
export function registerReplay(program: Command, run: Runner): void {
  const command = program
    .command('replay')
    .description(
      'apply traces to the model and compare its answers with the recorded ones; exit 1 when any differs',
    )
    .argument('<trace...>', 'names of traces, or capture files; - for standard input')
    .option('--until <seq>', 'last call to apply', parseInteger)
    .option(
      '--snapshots <calls>',
      'keep a snapshot of the model in the store after every so many calls',
      parsePositive,
    )
    .option('--batch <calls>', 'calls read at once; changes speed, never the result', parsePositive)
    .option(
      '--max-divergences <number>',
      `divergences to report (default: ${SHOWN_DEFAULT}; with --json ${KEPT_DEFAULT})`,
      parseInteger,
    );
  addModelOptions(command);
  addExamples(command, [
    ['ioasis replay run.jsonl.gz', 'replay a capture directly; nothing is kept'],
    ['ioasis replay good bad --json', 'two traces of the store, one JSON object a line'],
  ]);
  command.action((names: string[], flags: ReplayFlags) =>
    run(command, (session) => replayAll(session, names, flags)),
  );
}

async function replayAll(session: Session, names: readonly string[], flags: ReplayFlags): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.clean;
  for (const [index, name] of names.entries()) {
    if (index > 0 && !session.json && !session.quiet) session.print('');
    const diverged = await withTarget(session, name, (target) => replayOne(session, target, flags));
    if (diverged > 0) exitCode = EXIT.finding;
  }
  return exitCode;
}

/** Replays and reports one trace; answers how many calls diverged. */
function replayOne(session: Session, target: Target, flags: ReplayFlags): number {
  const { trace, label } = target;
  const shown = flags.maxDivergences ?? (session.json ? KEPT_DEFAULT : SHOWN_DEFAULT);
  const result = runReplay(session, target, flags, Math.max(shown, KEPT_DEFAULT));
  if (session.json) {
    session.print(jsonOfReplay(result, label, shown));
    return result.diverged;
  }
  printReplay(session, result, {
    label,
    kernel: flags.kernel ?? trace.header.kernel,
    pageSizeBytes: trace.header.pageSizeBytes,
    maxDivergences: shown,
    store: target.store.path === '' || session.store === STORE_DEFAULT ? null : session.store,
  });
  return result.diverged;
}

function runReplay(
  session: Session,
  { store, trace }: Target,
  flags: ReplayFlags,
  kept: number,
): ReplayResult {
  const progress = startProgress(session, 'replaying', 'calls');
  try {
    return replayTrace(store, trace.id, {
      ...modelChoiceOf(flags),
      maxDivergences: kept,
      onProgress: (calls) => progress.update(calls, flags.until === undefined ? trace.callCount : null),
      ...(flags.until === undefined ? {} : { untilSeq: flags.until }),
      ...(flags.snapshots === undefined ? {} : { snapshotEvery: flags.snapshots }),
      ...(flags.batch === undefined ? {} : { pageRows: flags.batch }),
    });
  } finally {
    progress.stop();
  }
}
