import { type Command, InvalidArgumentError } from 'commander';
import { diffTraces } from '../../../replay/index.ts';
import { jsonOfDiff, printDiff } from '../diff-report.ts';
import { withTwo } from '../diff-target.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger } from '../options.ts';
import type { Runner, Session } from '../session.ts';

interface DiffFlags extends ModelFlags {
  readonly ignore?: readonly string[];
  readonly context: number;
  readonly traffic?: boolean;
}

const CONTEXT_DEFAULT = 2;

/** `ioasis diff`: two traces, or two points of one, by what their calls mean. */
export function registerDiff(program: Command, run: Runner): void {
  const command = program
    .command('diff')
    .description(
      'compare two traces, or two points of one, by what their calls mean: the first call that differs,\n' +
        'then the state and the hardware at the end. What differs from run to run is not compared:\n' +
        'pids, descriptors, ids, and where memory happens to lie.',
    )
    .argument('<a>', 'name of a trace, a capture file, or TRACE@SEQ for its state after a call')
    .argument('<b>', 'the same for the other one')
    .option('--ignore <names>', 'fields, calls or CALL.field to leave out, separated by commas', parseNames)
    .option('--context <count>', 'calls to show around the first difference', parseInteger, CONTEXT_DEFAULT)
    .option('--traffic', 'also compare what is done to the device: registers, interrupts, mapped BARs');
  addModelOptions(command);
  addExamples(command, [
    [
      'ioasis diff good.jsonl.gz bad.jsonl.gz',
      'where a bad run leaves the way of a good one, and what follows',
    ],
    ['ioasis diff run@57 run@99', 'what calls 58 to 99 of a trace did'],
    [
      'ioasis diff a b --ignore IOMMU_GET_HW_INFO,length',
      'without what GET_HW_INFO says and without lengths',
    ],
  ]);
  command.action((a: string, b: string, flags: DiffFlags) =>
    run(command, (session) => diff(session, [a, b], flags)),
  );
}

function parseNames(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(',').filter((name) => name !== '');
  if (names.length === 0) throw new InvalidArgumentError('must name something.');
  return [...before, ...names];
}

async function diff(session: Session, names: readonly [string, string], flags: DiffFlags): Promise<ExitCode> {
  const options = { ...modelChoiceOf(flags), onlyIfThere: true };
  return await withTwo(session, names, options, (a, b) => {
    const { ignore, traffic = false } = flags;
    const found = diffTraces(a, b, { ...(ignore === undefined ? {} : { ignore }), traffic });
    if (session.json) session.print(jsonOfDiff(found));
    else printDiff(session, a, b, found, flags.context);
    return found.isEqual ? EXIT.clean : EXIT.finding;
  });
}
