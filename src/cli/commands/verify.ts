import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { openStore, type Store, type TraceInfo, type Verification } from '../../../store/index.ts';
import { isBundleFile } from '../bundle-file.ts';
import { type BundleExpectation, verifyBundle } from '../bundle-report.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { renderTable } from '../table.ts';
import { withTarget } from '../target.ts';

interface Verified {
  readonly trace: TraceInfo;
  readonly result: Verification;
}

/** `ioasis verify`: the hash chains of the log, recomputed. */
export function registerVerify(program: Command, run: Runner): void {
  const command = program
    .command('verify')
    .description('check the log, or a bundle, against its hash chain; exit 1 when it was damaged or changed')
    .argument('[trace]', 'name of a trace, or a bundle of audit export; all traces of the store unless given')
    .option('--head <sha256>', 'hash of the log that a bundle must come from, as ioasis list --json has it')
    .option('--key <file>', 'public key that a bundle must be signed with (Ed25519, PEM)');
  addExamples(command, [
    ['ioasis verify', 'check every trace of ./ioasis.db'],
    ['ioasis verify run --quiet', 'check one, and say something only when it is damaged'],
    ['ioasis verify run.bundle --key public.pem', 'check a bundle, and who signed it; no store is needed'],
  ]);
  command.action((name: string | undefined, flags: BundleExpectation) =>
    run(command, (session) => {
      if (name !== undefined && isBundleFile(name)) return verifyBundle(session, name, flags);
      if (flags.head !== undefined || flags.key !== undefined)
        throw new UsageError('--head and --key are for bundles');
      return verify(session, name);
    }),
  );
}

async function verify(session: Session, name: string | undefined): Promise<ExitCode> {
  const found =
    name === undefined
      ? verifyAll(session)
      : await withTarget(session, name, ({ store, trace }) => [verifyOne(store, trace)]);
  const isDamaged = found.some(({ result }) => !result.ok);
  if (session.json) session.print(JSON.stringify(found.map(jsonOf)));
  else if (isDamaged || !session.quiet) printTable(session, found);
  return isDamaged ? EXIT.finding : EXIT.clean;
}

function verifyAll(session: Session): readonly Verified[] {
  if (!existsSync(session.store)) throw new UsageError(`${session.store}: no such store`);
  const store = openStore(session.store, { create: false });
  try {
    return store.listTraces().map((trace) => verifyOne(store, trace));
  } finally {
    store.close();
  }
}

function verifyOne(store: Store, trace: TraceInfo): Verified {
  return { trace, result: store.verifyTrace(trace.id) };
}

function jsonOf({ trace, result }: Verified) {
  const { name, callCount, state, chainHead } = trace;
  const damage = result.ok ? null : { seq: result.seq, what: result.what };
  return { name, ok: result.ok, calls: callCount, state, chainHead, damage };
}

function printTable(session: Session, found: readonly Verified[]): void {
  if (found.length === 0) {
    session.remark(`no traces in ${session.store}`);
    return;
  }
  const { green, red, yellow } = session.colors;
  const rows = found.map(({ trace, result }) => {
    if (!result.ok) return [trace.name, trace.callCount, red('DAMAGED'), placeOf(result)];
    return [
      trace.name,
      trace.callCount,
      result.isSealed ? green('ok') : yellow('ok so far'),
      result.isSealed ? trace.chainHead : 'incomplete: its import has not ended, or was killed',
    ];
  });
  const columns = [
    { title: 'NAME' },
    { title: 'CALLS', isNumber: true },
    { title: 'LOG' },
    { title: 'SHA-256 OF THE LOG, OR THE FIRST BAD PLACE' },
  ];
  session.print(renderTable(session, columns, rows));
}

function placeOf(result: Verification & { readonly ok: false }): string {
  return result.seq === null ? result.what : `from seq ${result.seq}: ${result.what}`;
}
