import type { Command } from 'commander';
import type { Call } from '../../trace/index.ts';
import { jsonOfCall } from '../call-json.ts';
import { namesObject } from '../call-objects.ts';
import { renderCall } from '../call-text.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples, parseInteger } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface ShowFlags {
  readonly from?: number;
  readonly to?: number;
  readonly failed?: true;
  readonly pid?: number;
  readonly object?: number;
}

/** `ioasis show`: the decoded calls of a trace. */
export function registerShow(program: Command, run: Runner): void {
  const command = program
    .command('show')
    .description('print the calls of a trace, decoded, one a line')
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .option('--from <seq>', 'first call', parseInteger)
    .option('--to <seq>', 'last call', parseInteger)
    .option('--failed', 'only calls that failed')
    .option('--pid <pid>', 'only calls of this process', parseInteger)
    .option(
      '--object <id>',
      'only calls whose struct names this object: an IOAS, device, HWPT …',
      parseInteger,
    );
  addExamples(command, [
    ['ioasis show run --failed', 'every call that the kernel refused'],
    ['ioasis show run.jsonl.gz --from 57 --to 57 --json', 'one call of a capture with all its fields'],
    ['ioasis show run --object 1', 'the life of the object with id 1'],
  ]);
  command.action((name: string, flags: ShowFlags) =>
    run(command, (session) => withTarget(session, name, (target) => showCalls(session, target, flags))),
  );
}

function showCalls(session: Session, { store, trace }: Target, flags: ShowFlags): ExitCode {
  const range = {
    ...(flags.from === undefined ? {} : { fromSeq: flags.from }),
    ...(flags.to === undefined ? {} : { toSeq: flags.to }),
  };
  const kernel = trace.header.kernel ?? '';
  const width = String(trace.lastSeq ?? 0).length;
  const { dim, red } = session.colors;
  for (const call of store.readCallsExact(trace.id, range)) {
    if (!isWanted(call, flags)) continue;
    if (session.json) {
      session.print(JSON.stringify(jsonOfCall(call, kernel)));
      continue;
    }
    const text = renderCall(call, kernel);
    const place = `${String(call.seq).padStart(width)}  [${call.pid}]`;
    session.print(`${dim(place)} ${hasFailed(call) ? red(text) : text}`);
  }
  return EXIT.clean;
}

function isWanted(call: Call, flags: ShowFlags): boolean {
  if (flags.failed && !hasFailed(call)) return false;
  if (flags.pid !== undefined && call.pid !== flags.pid) return false;
  return flags.object === undefined || namesObject(call, flags.object);
}

function hasFailed(call: Call): boolean {
  if ('errno' in call && call.errno !== 0) return true;
  // A log may tell that a call failed, and not with which error.
  return 'replied' in call && call.replied && call.partial !== undefined && call.ret < 0;
}
