import type { Divergence, ReplayResult } from '../../replay/index.ts';
import { describeEffects } from './effect-names.ts';
import type { Session } from './session.ts';

/** What of a replay is reported, beside its result. */
export interface ReportOptions {
  /** How the user named the trace. */
  readonly label: string;
  /** Kernel as recorded or given; null when nobody said. */
  readonly kernel: string | null;
  readonly maxDivergences: number;
  /** Arguments that a command needs to find the trace again, such as `--store lab.db`. */
  readonly locator: string;
}

/** Prints a replay as a person reads it. */
export function printReplay(session: Session, result: ReplayResult, options: ReportOptions): void {
  const { bold, green, red } = session.colors;
  if (!session.quiet || result.diverged > 0) {
    const verdict =
      result.diverged === 0
        ? green('no divergence')
        : red(`${result.diverged} of ${result.calls} calls diverged`);
    session.print(`${bold(options.label)}: ${verdict}`);
  }
  if (session.quiet) return;
  for (const [title, text] of summaryOf(result, options)) session.print(`  ${title.padEnd(12)}${text}`);
  const shown = result.divergences.slice(0, options.maxDivergences);
  for (const divergence of shown) printDivergence(session, divergence, options);
  if (result.diverged > shown.length) {
    session.print(`\n  ${result.diverged - shown.length} more divergences are not shown (--max-divergences)`);
  }
}

function summaryOf(result: ReplayResult, { kernel }: ReportOptions): readonly (readonly [string, string])[] {
  const exactness = result.profileExact
    ? `kernel ${kernel}`
    : `WARNING: not the kernel of the trace (${kernel ?? 'not recorded'}), which has no profile: answers may differ`;
  const notModelled = Object.entries(result.notModelled).map(([name, count]) => `${name} ${count}`);
  return [
    ['profile', `${result.profile} (${exactness})`],
    ['calls', String(result.calls)],
    ['matched', String(result.matched)],
    ['diverged', String(result.diverged)],
    ['partial', partialOf(result.partial, notModelled)],
    ['learned', `${result.learned}${result.learned === 0 ? '' : ' (facts taken from replies)'}`],
    ['happened', describeEffects(result.effects)],
    ...result.assumptions.map((assumption): [string, string] => ['assumed', assumption]),
    ['digest', result.digest],
  ];
}

function partialOf(partial: number, notModelled: readonly string[]): string {
  if (partial === 0) return '0';
  if (notModelled.length === 0) return `${partial} (some of the reply could not be predicted)`;
  return `${partial} (not modelled: ${notModelled.join(', ')})`;
}

function printDivergence(session: Session, divergence: Divergence, { label, locator }: ReportOptions): void {
  const { seq, call, field, recorded, predicted, reason, source, says } = divergence;
  const { bold, dim } = session.colors;
  session.print('');
  session.print(`  ${bold(`seq ${seq}`)} ${call}: ${field} recorded ${recorded}, predicted ${predicted}`);
  if (reason !== null)
    session.print(`    because ${[reason, says, source && `(${source})`].filter(Boolean).join(' ')}`);
  session.print(dim(`    ioasis show ${label}${locator} --from ${seq} --to ${seq}`));
}

/** A replay as one JSON object. */
export function jsonOfReplay(result: ReplayResult, trace: string, maxDivergences: number): string {
  const { divergences, ...rest } = result;
  return JSON.stringify({ trace, ...rest, divergences: divergences.slice(0, maxDivergences) });
}
