import { createHash, type KeyObject } from 'node:crypto';
import type { Command } from 'commander';
import type { BundleSummary } from '../../../store/index.ts';
import { fingerprintOf, readSigningKey, signatureLine } from '../bundle-file.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples, parseInteger } from '../options.ts';
import { writeWholeFile } from '../out-file.ts';
import type { Output } from '../output.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface ExportFlags {
  readonly from?: number;
  readonly to?: number;
  readonly out: string;
  readonly sign?: string;
}

/** `ioasis audit export`: a part of the log that can be checked without the store. */
export function registerAuditExport(audit: Command, run: Runner): void {
  const command = audit
    .command('export')
    .description(
      'write calls of a trace with the proof that they are part of its log; exit 1 when the log is damaged',
    )
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .requiredOption('--out <file>', 'bundle to write')
    .option('--from <seq>', 'first call', parseInteger)
    .option('--to <seq>', 'last call', parseInteger)
    .option('--sign <key>', 'sign with this private key (Ed25519, PEM)');
  addExamples(command, [
    ['ioasis audit export run --from 100 --to 200 --out run.bundle', 'these calls and their proof'],
    ['ioasis verify run.bundle', 'check it, anywhere and without the store'],
    ['openssl genpkey -algorithm ed25519 -out key.pem', 'make a key for --sign'],
    ['ioasis audit export run --out run.bundle --sign key.pem', 'the whole log, signed'],
  ]);
  command.action((name: string, flags: ExportFlags) =>
    run(command, (session) => withTarget(session, name, (target) => exportBundle(session, target, flags))),
  );
}

async function exportBundle(session: Session, target: Target, flags: ExportFlags): Promise<ExitCode> {
  const { from, to } = flags;
  if (from !== undefined && to !== undefined && from > to)
    throw new UsageError(`--from ${from} is after --to ${to}`);
  const key = flags.sign === undefined ? null : readSigningKey(flags.sign);
  const { store, trace, label } = target;
  const verified = store.verifyTrace(trace.id);
  if (!verified.ok) {
    const place = verified.seq === null ? '' : ` from seq ${verified.seq}`;
    session.print(`${label}: the log is damaged${place}, and not exported: ${verified.what}`);
    return EXIT.finding;
  }
  const summary = await writeWholeFile(flags.out, async (output) => write(target, flags, key, output));
  report(session, summary, flags.out, key);
  return EXIT.clean;
}

function write(
  { store, trace }: Target,
  { from, to }: ExportFlags,
  key: KeyObject | null,
  output: Output,
): BundleSummary {
  const hash = createHash('sha256');
  const range = {
    ...(from === undefined ? {} : { fromSeq: from }),
    ...(to === undefined ? {} : { toSeq: to }),
  };
  const summary = store.writeBundle(trace.id, range, (line) => {
    hash.update(line).update('\n');
    output.write(`${line}\n`);
  });
  if (key !== null) output.write(`${signatureLine(hash.digest(), key)}\n`);
  return summary;
}

function report(session: Session, summary: BundleSummary, path: string, key: KeyObject | null): void {
  const signedBy = key === null ? null : fingerprintOf(key);
  if (session.json) {
    session.print(JSON.stringify({ ...summary, file: path, signedBy }));
    return;
  }
  if (session.quiet) return;
  const { trace, calls, from, to, rows, links, chainHead } = summary;
  session.print(`${path}: ${calls} calls of ${trace}, seq ${from} to ${to}`);
  session.print(`  rows      ${rows} (whole links of the chain, ${links} in all)`);
  session.print(`  log       ${chainHead}`);
  if (signedBy !== null) session.print(`  signed by ${signedBy}`);
}
