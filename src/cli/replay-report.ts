import type { Divergence, ReplayResult } from '../../replay/index.ts';
import { describeEffects } from './effect-names.ts';
import type { Session } from './session.ts';

/** Characters of a learned value that a person is shown; JSON has all. */
const VALUE_SHOWN = 24;

/** What of a replay is reported, beside its result. */
export interface ReportOptions {
  /** How the user named the trace. */
  readonly label: string;
  /** Kernel as recorded or given; null when nobody said. */
  readonly kernel: string | null;
  readonly pageSizeBytes: number;
  readonly maxDivergences: number;
  /** Store that a command has to be given to find the trace again; null when it need not. */
  readonly store: string | null;
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
  const hidden = result.diverged - shown.length;
  if (hidden === 0) return;
  const what = hidden === 1 ? '1 more divergence is' : `${hidden} more divergences are`;
  session.print(`\n  ${what} not shown (--max-divergences)`);
}

function summaryOf(result: ReplayResult, options: ReportOptions): readonly (readonly [string, string])[] {
  return [
    ['profile', `${result.profile} (${exactnessOf(result, options)})`],
    ['calls', String(result.calls)],
    ['matched', String(result.matched)],
    ['diverged', String(result.diverged)],
    ['partial', partialOf(result)],
    ['learned', `${result.learned}${result.learned === 0 ? '' : ' (facts taken from replies)'}`],
    ...learnedLines(result),
    ['happened', describeEffects(result.effects)],
    ...result.assumptions.map((assumption): [string, string] => ['assumed', assumption]),
    ['digest', result.digest],
  ];
}

/** A line for each IOMMU and device of which something was learned. */
function learnedLines({ hardware }: ReplayResult): [string, string][] {
  const byOwner = new Map<string, string[]>();
  for (const { owner, fact, value } of hardware) {
    const facts = byOwner.get(owner) ?? [];
    facts.push(`${fact}: ${value.length > VALUE_SHOWN ? `${value.slice(0, VALUE_SHOWN)}…` : value}`);
    byOwner.set(owner, facts);
  }
  return [...byOwner].map(([owner, facts]) => ['', `  ${owner}: ${facts.join('; ')}`]);
}

function exactnessOf(result: ReplayResult, { kernel, pageSizeBytes }: ReportOptions): string {
  if (result.profileExact) return `kernel ${kernel}`;
  if (kernel === null) return 'WARNING: the trace does not say its kernel: answers may differ';
  const pages = pageSizeBytes === 4096 ? '' : ` with pages of ${pageSizeBytes} bytes`;
  return `WARNING: kernel ${kernel}${pages} has no profile of its own: answers may differ`;
}

function partialOf({ partial, notModelled }: ReplayResult): string {
  const names = Object.entries(notModelled);
  const rest = partial - names.reduce((sum, [, count]) => sum + count, 0);
  const parts = names.map(([name, count]) => `${name} ${count}`);
  if (parts.length > 0) parts[0] = `not modelled: ${parts[0]}`;
  if (rest > 0) parts.push(`part of the reply cannot be predicted: ${rest}`);
  return parts.length === 0 ? String(partial) : `${partial} (${parts.join(', ')})`;
}

function printDivergence(session: Session, divergence: Divergence, { label, store }: ReportOptions): void {
  const where = store === null ? '' : ` --store ${shellWord(store)}`;
  const { seq, call, field, recorded, predicted, reason, source, says } = divergence;
  const { bold, dim } = session.colors;
  session.print('');
  session.print(`  ${bold(`seq ${seq}`)} ${call}: ${field} recorded ${recorded}, predicted ${predicted}`);
  if (reason !== null)
    session.print(`    because ${[reason, says, source && `(${source})`].filter(Boolean).join(' ')}`);
  session.print(dim(`    ioasis show ${shellWord(label)}${where} --from ${seq} --to ${seq}`));
}

/** A replay as one JSON object. */
export function jsonOfReplay(result: ReplayResult, trace: string, maxDivergences: number): string {
  const { divergences, ...rest } = result;
  return JSON.stringify({ trace, ...rest, divergences: divergences.slice(0, maxDivergences) });
}

/** A word as a shell takes it: quoted when it holds anything that a shell looks at. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
