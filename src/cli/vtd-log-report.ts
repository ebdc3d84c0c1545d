import type { LogComparison, LogDifference } from '../../replay/index.ts';
import type { Session } from './session.ts';

/** A log of QEMU's emulated VT-d beside what the model expects, for people and for programs. */

/** Differences that are printed; all are counted, and `--json` has them all. */
const MOST_LINES = 50;

export function jsonOfVtdLog(comparison: LogComparison): string {
  return JSON.stringify(comparison);
}

export function printVtdLog(session: Session, comparison: LogComparison): void {
  const { invalidations, translations, others, unknownBits, clock, siblings, differences } = comparison;
  for (const difference of differences.slice(0, MOST_LINES)) session.print(lineOf(difference));
  if (differences.length > MOST_LINES) session.print(`… and ${differences.length - MOST_LINES} more`);
  const { predicted, equal, notLogged, onlyLogged } = invalidations;
  session.print(
    `VT-d log: ${predicted} invalidations predicted, ${equal} equal, ${notLogged} not logged, ` +
      `${onlyLogged} only logged; ${translations.hits} hits of entries that are held, ` +
      `${translations.updates} entries filled; ${comparison.different} different`,
  );
  if (clock !== null) session.print(`  clock of the trace + ${clock.seconds.toFixed(4)} s (${clock.from})`);
  if (siblings.length > 0) session.print(`  attached along, as of the same group: ${siblings.join(', ')}`);
  if (others > 0) session.print(`  ${others} events of domains that the kernel had for itself`);
  for (const [holds, bits] of Object.entries(unknownBits))
    session.print(`  ${holds}: ${bits} bits that the trace does not determine`);
}

const WHAT: Readonly<Record<LogDifference['what'], string>> = {
  'not-logged': 'predicted, and not in the log',
  'only-logged': 'in the log, and not predicted',
  'not-held': 'a hit, and no entry is held',
  'not-mapped': 'filled, and the tables of the trace map nothing there',
  'other-page': 'filled with another page than the tables of the trace have',
};

function lineOf({ what, line, seq, says }: LogDifference): string {
  const places = [...(line === null ? [] : [`line ${line}`]), ...(seq === null ? [] : [`call ${seq}`])];
  return `${places.join(', ')}${places.length === 0 ? '' : ': '}${says}: ${WHAT[what]}`;
}
