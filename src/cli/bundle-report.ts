import { readPublicKey, type VerifiedBundle, verifyBundleFile } from './bundle-file.ts';
import { UsageError } from './errors.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Session } from './session.ts';

/** What the user knows of a bundle from elsewhere. */
export interface BundleExpectation {
  /** Newest hash of the log, in hex. */
  readonly head?: string;
  /** File with the public key of the signer. */
  readonly key?: string;
}

/** Checks a bundle file and says what was found. */
export function verifyBundle(session: Session, path: string, expected: BundleExpectation): ExitCode {
  if (expected.head !== undefined && !/^[0-9a-f]{64}$/i.test(expected.head))
    throw new UsageError('--head must be a SHA-256 in hex: 64 digits');
  const key = expected.key === undefined ? null : readPublicKey(expected.key);
  const verified = verifyBundleFile(path, key);
  const problems = problemsOf(verified, expected);
  if (session.json) session.print(JSON.stringify(jsonOf(path, verified, problems)));
  else if (problems.length > 0) for (const problem of problems) session.print(`${path}: ${problem}`);
  else if (!session.quiet) printGood(session, path, verified);
  return problems.length > 0 ? EXIT.finding : EXIT.clean;
}

function problemsOf({ result, signature }: VerifiedBundle, { head, key }: BundleExpectation): string[] {
  const problems: string[] = [];
  if (!result.ok) {
    const place = result.seq === null ? '' : `, seq ${result.seq}`;
    problems.push(`DAMAGED at line ${result.line}${place}: ${result.what}`);
  } else if (head !== undefined && head.toLowerCase() !== result.chainHead) {
    problems.push(`comes from another log: its hash is ${result.chainHead}`);
  }
  if (signature?.isValid === false) problems.push('the signature is not of this content');
  else if (signature?.isExpected === false)
    problems.push(`signed with another key, ${signature.fingerprint}`);
  else if (signature === null && key !== undefined) problems.push('is not signed');
  return problems;
}

function jsonOf(file: string, { result, signature }: VerifiedBundle, problems: readonly string[]) {
  const signedBy = signature?.isValid === true ? signature.fingerprint : null;
  if (result.ok) return { file, ...result, ok: problems.length === 0, signedBy, problems };
  const { line, seq, what } = result;
  return { file, ok: false, damage: { line, seq, what }, signedBy, problems };
}

function printGood(session: Session, path: string, { result, signature }: VerifiedBundle): void {
  if (!result.ok) return;
  const { trace, from, to, calls, traceCalls, chainHead } = result;
  session.print(`${path}: ${session.colors.green('ok')}`);
  session.print(`  calls     ${calls} of ${traceCalls} of trace ${trace}, seq ${from} to ${to}`);
  session.print(`  log       ${chainHead}`);
  session.print(`  signed by ${signature === null ? 'nobody' : signature.fingerprint}`);
}
