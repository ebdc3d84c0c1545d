import { type MinimizeGoal, type ModelChoice, NothingToMinimizeError } from '../../replay/index.ts';
import { openTemporaryStore, type Store, type TraceInfo } from '../../store/index.ts';
import type { Call } from '../trace/index.ts';
import { type LintFinding, lintTrace, type Rule } from './lint/index.ts';

/** Which finding a shorter trace must still show. */
export interface FindingChoice {
  readonly rule: Rule;
  /** The call that it is about; the first finding of the rule when null. */
  readonly seq: number | null;
}

/** Calls written to a store at once. */
const BATCH = 4096;

/**
 * The goal that a rule still finds the same thing at the same call. A shorter trace is judged as any other:
 * it is imported into a store of its own and linted from its first call.
 * @throws NothingToMinimizeError when the rule finds nothing there.
 */
export function findingGoal(
  store: Store,
  trace: TraceInfo,
  { rule, seq }: FindingChoice,
  choice: ModelChoice = {},
): MinimizeGoal & { readonly finding: LintFinding } {
  // The one at a call may stand behind any number of others.
  const most = seq === null ? {} : { maxFindings: trace.callCount + 1 };
  const { findings } = lintTrace(store, trace.id, { ...choice, rules: [rule], ...most });
  const finding = findings.find((each) => each.id === rule.id && (seq === null || each.seq === seq));
  if (finding === undefined) {
    const others = findings.map((each) => each.seq).slice(0, 5);
    const where = seq === null ? '' : ` at call ${seq}`;
    const hint = others.length === 0 ? '' : `; it does at ${others.join(', ')}`;
    throw new NothingToMinimizeError(`rule ${rule.id} finds nothing${where}${hint}`);
  }
  return {
    finding,
    target: finding.seq,
    related: finding.chain.map((link) => link.seq),
    shows: ({ calls }) => isFound(trace, calls, rule, finding, choice),
  };
}

function isFound(
  { header }: TraceInfo,
  calls: readonly Call[],
  rule: Rule,
  { seq, severity }: LintFinding,
  choice: ModelChoice,
): boolean {
  const store = openTemporaryStore();
  try {
    const writer = store.beginTrace({ name: 'shorter', header });
    for (let from = 0; from < calls.length; from += BATCH) writer.append(calls.slice(from, from + BATCH));
    const { id } = writer.seal();
    const { findings } = lintTrace(store, id, { ...choice, rules: [rule], maxFindings: calls.length });
    return findings.some((each) => each.id === rule.id && each.seq === seq && each.severity === severity);
  } finally {
    store.close();
  }
}
