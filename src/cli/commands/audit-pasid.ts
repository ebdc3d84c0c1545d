import type { Command } from 'commander';
import {
  buildPasidHistory,
  findEvents,
  findFunctions,
  findHolders,
  findScopes,
  findTenures,
  type PasidFilter,
} from '../../audit/index.ts';
import { type AuditAnswer, csvOfAnswer, jsonOfAnswer, printAnswer } from '../audit-report.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples, parseInteger } from '../options.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

/** Rows of each table that a person sees. */
const SHOWN_DEFAULT = 1000;

interface PasidFlags {
  readonly at?: number;
  readonly pasid?: number;
  readonly device?: string;
  readonly process?: number;
  readonly kernel?: string;
  readonly limit?: number;
  readonly build?: true;
  readonly check?: true;
  readonly csv?: true;
}

/** `ioasis audit pasid`: the history of PASIDs. */
export function registerAuditPasid(audit: Command, run: Runner): void {
  const command = audit
    .command('pasid')
    .description(
      'tell who held each PASID, for which address space and on which device, from when to when\n' +
        '(tables pasid_* of the store; built by one replay when they are not there)',
    )
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .option('--at <seq>', 'only who holds a PASID after this call', parseInteger)
    .option('--pasid <pasid>', 'only this PASID, decimal or 0x', parseInteger)
    .option('--device <device>', 'only this function (0000:00:02.0, mock-3) or device id')
    .option('--process <pid>', 'only PASIDs of this process', parseInteger)
    .option('--kernel <release>', 'kernel to model in place of the recorded one, such as 7.3')
    .option(
      '--limit <rows>',
      `rows of each table (default: ${SHOWN_DEFAULT}; all with --csv, --json)`,
      parseInteger,
    )
    .option('--csv', 'what happened (with --at: the holders) as CSV')
    .option('--build', 'build the tables again even when they are there')
    .option('--check', 'exit 1 when a PASID is never freed, or handed out again before a flush');
  addExamples(command, [
    ['ioasis audit pasid run', 'timeline of each PASID, leaks, reuse and high-water marks'],
    ['ioasis audit pasid run --at 120 --pasid 5', 'who held PASID 5 after call 120'],
    [
      'ioasis audit pasid run --device 0000:00:02.0 --csv',
      'what happened on one function, for a spreadsheet',
    ],
    ['ioasis audit pasid run --check --quiet', 'exit 1 when a PASID leaks'],
  ]);
  command.action((name: string, flags: PasidFlags) =>
    run(command, (session) => withTarget(session, name, (target) => auditPasid(session, target, flags))),
  );
}

function auditPasid(session: Session, target: Target, flags: PasidFlags): ExitCode {
  if (session.json && flags.csv) throw new UsageError('--json and --csv exclude each other');
  const { diverged } = build(session, target, flags);
  if (diverged > 0)
    session.remark(
      `the kernel answered ${diverged} calls otherwise than the model: the history is the model's there`,
    );
  const answer = askFor(target, flags, session.json || flags.csv === true);
  remarkUnknownDevice(session, target, flags);
  if (session.json) session.print(jsonOfAnswer(answer));
  else if (flags.csv) for (const line of csvOfAnswer(answer)) session.print(line);
  else if (!session.quiet || flags.check !== true) printAnswer(session, answer);
  return flags.check === true && isFinding(answer) ? EXIT.finding : EXIT.clean;
}

/** Most names of devices that a remark lists. */
const NAMES_MOST = 8;

/** A device that is misspelt has no PASIDs, and neither has one that the trace uses without. */
function remarkUnknownDevice(session: Session, { store, trace }: Target, { device }: PasidFlags): void {
  if (device === undefined || findEvents(store, trace.name, { device }, 1).count > 0) return;
  const names = findFunctions(store, trace.name, NAMES_MOST + 1);
  const list = names.length > NAMES_MOST ? `${names.slice(0, NAMES_MOST).join(', ')} …` : names.join(', ');
  session.remark(`no PASID of device ${device}${list === '' ? '' : `; there are PASIDs of ${list}`}`);
}

function build(session: Session, { store, trace }: Target, flags: PasidFlags) {
  const progress = startProgress(session, 'replaying', 'calls');
  try {
    return buildPasidHistory(store, trace.id, {
      kernel: flags.kernel ?? null,
      force: flags.build === true,
      onProgress: (calls) => progress.update(calls, trace.callCount),
    });
  } finally {
    progress.stop();
  }
}

function askFor({ store, trace, label }: Target, flags: PasidFlags, isAll: boolean): AuditAnswer {
  const limit = flags.limit ?? (isAll ? Number.MAX_SAFE_INTEGER : SHOWN_DEFAULT);
  const filter: PasidFilter = {
    ...(flags.pasid === undefined ? {} : { pasid: flags.pasid }),
    ...(flags.device === undefined ? {} : { device: flags.device }),
    ...(flags.process === undefined ? {} : { pid: flags.process }),
  };
  const isAsked = flags.at === undefined || flags.check === true;
  const find = (which: 'leaked' | 'reused-unflushed') =>
    isAsked ? findTenures(store, trace.name, filter, which, limit) : { count: 0, rows: [] };
  const findings = { trace: label, leaked: find('leaked'), unflushed: find('reused-unflushed') };
  if (flags.at !== undefined)
    return { ...findings, at: flags.at, holders: findHolders(store, trace.id, flags.at, filter) };
  return {
    ...findings,
    at: null,
    held: findTenures(store, trace.name, filter, 'all', limit),
    events: findEvents(store, trace.name, filter, limit),
    reused: findTenures(store, trace.name, filter, 'reused', limit),
    scopes: findScopes(store, trace.name),
  };
}

function isFinding({ leaked, unflushed }: AuditAnswer): boolean {
  return leaked.count > 0 || unflushed.count > 0;
}
