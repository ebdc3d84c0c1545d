import { type ModelChoice, type ReplayResult, replayTrace } from '../../../replay/index.ts';
import type { Store } from '../../../store/index.ts';
import type { Call } from '../../trace/index.ts';
import { RULES } from '../rules/index.ts';
import type { LintFinding } from './finding.ts';
import type { Rule } from './rule.ts';
import { type LintFindings, type LintWatch, watchForLint } from './watch.ts';

export interface LintOptions extends ModelChoice {
  /** Rules to look for; all when not given. */
  readonly rules?: readonly Rule[];
  /** Findings of one rule to keep; all are counted. 10,000 by default. */
  readonly maxFindings?: number;
  /** Last call to look at. */
  readonly untilSeq?: number;
  readonly onProgress?: (calls: number) => void;
}

export interface LintResult {
  /** By call, then by rule. */
  readonly findings: readonly LintFinding[];
  /** All findings by id of the rule, also those that were not kept; every rule that ran is there. */
  readonly counts: Readonly<Record<string, number>>;
  /** The replay that the rules watched. */
  readonly replay: ReplayResult;
}

const MOST_FINDINGS = 10_000;

/**
 * Looks for hazards and bugs in a trace: one replay from its first call, watched by the rules. Deterministic:
 * the same calls and the same kernel give the same findings in the same order.
 */
export function lintTrace(store: Store, traceId: number, options: LintOptions = {}): LintResult {
  const { rules = RULES, maxFindings = MOST_FINDINGS, ...choice } = options;
  const recordAt = (seq: number): Call | null => {
    for (const call of store.readCallsExact(traceId, { fromSeq: seq, toSeq: seq })) return call;
    return null;
  };
  let watch: LintWatch | null = null;
  const replay = replayTrace(store, traceId, {
    ...choice,
    maxDivergences: maxFindings,
    watch: (kernel) => {
      watch = watchForLint(kernel, rules, maxFindings, recordAt);
      return watch.watcher;
    },
  });
  const nothing: LintFindings = { findings: [], counts: {} };
  const found = (watch as LintWatch | null)?.finish(replay.divergences) ?? nothing;
  return { ...found, replay };
}
