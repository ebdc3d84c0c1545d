import type { Command } from 'commander';
import { bisectTraces, type ChangePoint } from '../../../replay/index.ts';
import { renderCall } from '../call-text.ts';
import { type DiffTarget, withTwo } from '../diff-target.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { jsonOf } from '../state-report.ts';

/** `ioasis bisect`: the first call after which the hardware of two runs differs. */
export function registerBisect(program: Command, run: Runner): void {
  const command = program
    .command('bisect')
    .description(
      'find the first call after which the hardware of two runs holds something else, by the points that\n' +
        'the store keeps of both: only a short part of each is replayed, once their timelines are built',
    )
    .argument('<a>', 'name of a trace, or a capture file')
    .argument('<b>', 'the same for the other one');
  addModelOptions(command);
  addExamples(command, [
    ['ioasis bisect good bad', 'the call of each trace where page tables or PASID entries part'],
    ['ioasis bisect good.jsonl.gz bad.jsonl.gz --json', 'the same as one JSON object'],
  ]);
  command.action((a: string, b: string, flags: ModelFlags) =>
    run(command, (session) => bisect(session, [a, b], flags)),
  );
}

async function bisect(
  session: Session,
  names: readonly [string, string],
  flags: ModelFlags,
): Promise<ExitCode> {
  return await withTwo(session, names, modelChoiceOf(flags), (a, b) => {
    const found = bisectTraces(a.timeline, b.timeline);
    if (session.json) {
      session.print(jsonOf(found ?? { a: null, b: null }));
      return found === null ? EXIT.clean : EXIT.finding;
    }
    if (found === null) {
      session.print(`${a.label} and ${b.label}: the hardware goes the same way to the end`);
      return EXIT.clean;
    }
    session.print(`the hardware of both goes the same way for ${found.same} changes, then not:`);
    printPoint(session, 'A', a, found.a);
    printPoint(session, 'B', b, found.b);
    const all = a.trace.callCount + b.trace.callCount;
    session.remark(`${found.probes} sums compared, ${found.replayed} of ${all} calls replayed`);
    return EXIT.finding;
  });
}

function printPoint(
  session: Session,
  name: string,
  { store, trace }: DiffTarget,
  point: ChangePoint | null,
): void {
  if (point === null) {
    session.print(`  ${name}  changes it no more`);
    return;
  }
  const [call] = store.readCallsExact(trace.id, { fromSeq: point.seq, toSeq: point.seq });
  session.print(`  ${name}  ${point.seq}  ${call === undefined ? '' : renderCall(call)}`);
}
