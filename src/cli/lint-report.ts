import type { Store } from '../../store/index.ts';
import type { LintFinding, LintResult, Severity } from '../audit/index.ts';
import { renderCall } from './call-text.ts';
import type { Session } from './session.ts';
import type { Target } from './target.ts';

/** Findings for a person, and as JSON. */

/**
 * `{"findings":[{"id","severity","seq","chain":[{"seq","role","says"}],"message","fix"}]}`, and beside it
 * what the findings rest on.
 */
export function jsonOfLint({ label }: Target, { findings, counts, replay }: LintResult): object {
  return {
    findings: findings.map(({ id, severity, seq, chain, message, fix }) => {
      return { id, severity, seq, chain, message, fix };
    }),
    trace: label,
    profile: replay.profile,
    calls: replay.calls,
    diverged: replay.diverged,
    notModelled: replay.notModelled,
    assumptions: replay.assumptions,
    counts: Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)),
  };
}

/** Prints findings by call, `most` of each rule in full; then how many there are. */
export function printLint(session: Session, target: Target, result: LintResult, most: number): void {
  const { store, trace, label } = target;
  const { bold, dim } = session.colors;
  const shown = new Map<string, number>();
  const isShown = ({ id }: LintFinding): boolean => {
    const before = shown.get(id) ?? 0;
    shown.set(id, before + 1);
    return before < most;
  };
  const inFull = result.findings.filter(isShown);
  const calls = new Map(inFull.flatMap(({ chain }) => chain.map(({ seq }) => [seq, ''])));
  for (const seq of calls.keys()) calls.set(seq, callLine(store, trace.id, seq));
  for (const finding of inFull) printFinding(session, finding, calls);
  const total = Object.values(result.counts).reduce((sum, count) => sum + count, 0);
  if (session.quiet) return;
  session.print(
    bold(total === 0 ? `${label}: no findings` : `${label}: ${total} finding${total === 1 ? '' : 's'}`),
  );
  const counts = Object.entries(result.counts).filter(([, count]) => count > 0);
  const width = Math.max(0, ...counts.map(([id]) => id.length));
  for (const [id, count] of counts) {
    const hidden = count - Math.min(most, count);
    session.print(
      `  ${id.padEnd(width)}  ${count}${hidden > 0 ? dim(`  (${hidden} not shown; --all)`) : ''}`,
    );
  }
  printCaveats(session, result);
}

function printFinding(session: Session, finding: LintFinding, calls: ReadonlyMap<number, string>): void {
  const { bold, dim } = session.colors;
  const { id, severity, seq, message, chain, fix } = finding;
  session.print(`${colored(session, severity)} ${bold(id)} at call ${seq}: ${message}`);
  const width = Math.max(0, ...chain.map((link) => link.role.length));
  const place = Math.max(0, ...chain.map((link) => String(link.seq).length));
  for (const { seq: at, role, says } of chain) {
    session.print(`  ${String(at).padStart(place)}  ${role.padEnd(width)}  ${says}`);
    const call = calls.get(at);
    if (call) session.print(dim(`  ${' '.repeat(place)}  ${' '.repeat(width)}  ${call}`));
  }
  session.print(`  fix: ${fix}`);
  session.print('');
}

function colored({ colors }: Session, severity: Severity): string {
  const paint = { error: colors.red, warning: colors.yellow, note: colors.cyan }[severity];
  return paint(severity);
}

function callLine(store: Store, traceId: number, seq: number): string {
  for (const call of store.readCallsExact(traceId, { fromSeq: seq, toSeq: seq })) return renderCall(call);
  return '';
}

/** What the findings do not rest on firmly. */
function printCaveats(session: Session, { replay }: LintResult): void {
  for (const assumption of replay.assumptions) session.remark(`assumed: ${assumption}`);
  const unknown = Object.entries(replay.notModelled);
  if (unknown.length === 0) return;
  session.remark(`not modelled: ${unknown.map(([name, count]) => `${name} (${count})`).join(', ')}`);
}
