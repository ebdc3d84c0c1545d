import { type Command, Option } from 'commander';
import { isAtLeast, lintTrace, RULES, type Rule, SEVERITIES, type Severity } from '../../audit/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { jsonOfLint, printLint } from '../lint-report.ts';
import { sarifOf } from '../lint-sarif.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger, parsePositive } from '../options.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

/** Findings of one rule that a person is shown in full. */
const SHOWN_DEFAULT = 3;
const NEVER = 'never';

interface LintFlags extends ModelFlags {
  readonly format?: 'text' | 'json' | 'sarif';
  readonly failOn: Severity | typeof NEVER;
  readonly rule?: readonly string[];
  readonly skip?: readonly string[];
  readonly until?: number;
  readonly maxFindings?: number;
  readonly all?: true;
}

/** `ioasis lint`: hazards and lifecycle bugs in a trace. */
export function registerLint(program: Command, run: Runner): void {
  const command = program
    .command('lint')
    .description(
      'look for bugs and hazards in a trace: who created, who freed, who used after, and how to fix it;\n' +
        'exit 1 when there is a finding (see --fail-on); every rule: docs/lint-rules.md',
    )
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .addOption(
      new Option('--format <format>', 'how to print: SARIF 2.1.0 is for CI systems')
        .choices(['text', 'json', 'sarif'])
        .default(undefined, 'text, or json with --json'),
    )
    .addOption(
      new Option('--fail-on <severity>', 'exit 1 only for findings as bad as this, or worse')
        .choices([...SEVERITIES, NEVER])
        .default('note'),
    )
    .option('--rule <id...>', 'look for these only')
    .option('--skip <id...>', 'do not look for these')
    .option('--until <seq>', 'last call to look at', parseInteger)
    .option('--max-findings <number>', 'findings of one rule to keep (default: 10000)', parsePositive)
    .option('--all', `show every finding in full, not ${SHOWN_DEFAULT} of each rule`);
  addModelOptions(command);
  addExamples(command, [
    ['ioasis lint run.jsonl.gz', 'what is wrong in a capture, with the calls that led to it'],
    ['ioasis lint run --json --fail-on warning', 'all findings as JSON; notes alone do not fail'],
    ['ioasis lint run --format sarif > run.sarif', 'findings for a CI system'],
    ['ioasis lint run --rule unmap-nothing use-after-destroy --all', 'two rules, every finding'],
  ]);
  command.action((name: string, flags: LintFlags) =>
    run(command, (session) => withTarget(session, name, (target) => lint(session, target, flags))),
  );
}

function lint(session: Session, target: Target, flags: LintFlags): ExitCode {
  const rules = rulesOf(flags);
  const progress = startProgress(session, 'looking', 'calls');
  const { store, trace, label } = target;
  const result = (() => {
    try {
      return lintTrace(store, trace.id, {
        ...modelChoiceOf(flags),
        rules,
        onProgress: (calls) => progress.update(calls, flags.until === undefined ? trace.callCount : null),
        ...(flags.until === undefined ? {} : { untilSeq: flags.until }),
        ...(flags.maxFindings === undefined ? {} : { maxFindings: flags.maxFindings }),
      });
    } finally {
      progress.stop();
    }
  })();
  const format = flags.format ?? (session.json ? 'json' : 'text');
  if (format === 'sarif') session.print(JSON.stringify(sarifOf(result, rules, label), null, 2));
  else if (format === 'json') session.print(JSON.stringify(jsonOfLint(target, result)));
  else printLint(session, target, result, flags.all ? Number.POSITIVE_INFINITY : SHOWN_DEFAULT);
  const { failOn } = flags;
  if (failOn === NEVER) return EXIT.clean;
  return result.findings.some(({ severity }) => isAtLeast(severity, failOn)) ? EXIT.finding : EXIT.clean;
}

/** @throws UsageError for an id that no rule has. */
function rulesOf({ rule, skip }: LintFlags): readonly Rule[] {
  const known = new Set(RULES.map(({ id }) => id));
  for (const id of [...(rule ?? []), ...(skip ?? [])]) {
    if (!known.has(id)) throw new UsageError(`${id}: no such rule; docs/lint-rules.md has all of them`);
  }
  return RULES.filter(({ id }) => (rule === undefined || rule.includes(id)) && !skip?.includes(id));
}
