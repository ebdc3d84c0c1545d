import type { CheckResult, CheckStatus } from '../model/index.ts';

/** Columns of a line of checks; longer lists go on. */
const COLUMNS = 96;
const MARKS: readonly (readonly [CheckStatus, string])[] = [
  ['passed', 'passed'],
  ['untold', 'not told'],
  ['refused', 'refused'],
  ['notReached', 'not reached'],
];
const INDENT = 13;

/** Checks of the dispatcher, which say little once they are passed. */
const DISPATCHER = ['struct-unreadable', 'command-unknown', 'struct-too-small', 'struct-tail-not-zero'];

/**
 * The checks of a command, a few to a line: those passed, the one that refused, those not reached. Checks
 * that the kernel does not make on the way of the call are left out; `--json` has them.
 */
export function linesOfChecks(checks: readonly CheckResult[]): string[] {
  return MARKS.flatMap(([status, mark]) => {
    const found = checks.filter((check) => check.status === status);
    return wrapped(mark, status === 'passed' ? folded(found) : found.map(nameOf));
  });
}

function nameOf({ id, at }: CheckResult): string {
  return at === null ? id : `${id} (${at})`;
}

/** The dispatcher's checks as one entry. */
function folded(passed: readonly CheckResult[]): string[] {
  const own = passed.filter(({ id }) => !DISPATCHER.includes(id));
  const count = passed.length - own.length;
  if (count < 2) return passed.map(nameOf);
  return [`struct and command (${count} checks)`, ...own.map(nameOf)];
}

function wrapped(mark: string, names: readonly string[]): string[] {
  const lines: string[] = [];
  for (const [index, name] of names.entries()) {
    const text = index === names.length - 1 ? name : `${name},`;
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + text.length <= COLUMNS)
      lines[lines.length - 1] = `${last} ${text}`;
    else lines.push((last === undefined ? mark : '').padEnd(INDENT) + text);
  }
  return lines;
}
