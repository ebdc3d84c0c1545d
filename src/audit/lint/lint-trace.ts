import {
  type ModelChoice,
  type ReplayOptions,
  type ReplayResult,
  replayTrace,
} from '../../../replay/index.ts';
import type { Store } from '../../../store/index.ts';
import type { Call } from '../../trace/index.ts';
import { RULES } from '../rules/index.ts';
import type { LintFinding } from './finding.ts';
import type { Rule } from './rule.ts';
import { byCall, type LintFindings, type LintPass, type LintWatch, watchForLint } from './watch.ts';

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
 * Looks for hazards and bugs in a trace: one replay from its first call, watched by the rules, and where the
 * trace tells of accesses of devices a second one that follows the caches of the IOMMUs. Deterministic:
 * the same calls and the same kernel give the same findings in the same order.
 */
export function lintTrace(store: Store, traceId: number, options: LintOptions = {}): LintResult {
  const { rules = RULES, maxFindings = MOST_FINDINGS, ...choice } = options;
  const recordAt = (seq: number): Call | null => {
    for (const call of store.readCallsExact(traceId, { fromSeq: seq, toSeq: seq })) return call;
    return null;
  };
  const run = (pass: LintPass, some: readonly Rule[], report: Partial<ReplayOptions>): LintPassResult => {
    let watch: LintWatch | null = null;
    const replay = replayTrace(store, traceId, {
      ...choice,
      ...report,
      watch: (kernel) => {
        watch = watchForLint(kernel, some, maxFindings, recordAt, pass);
        return watch.watcher;
      },
    });
    if (watch === null) throw new Error('the replay made no watcher');
    return { ...(watch as LintWatch).finish(pass === 'calls' ? replay.divergences : []), replay };
  };
  const first = run('calls', rules, { maxDivergences: maxFindings });
  const cached = rules.filter(({ seesCaches }) => seesCaches === true);
  const { replay, accesses, findings, counts } = first;
  if (accesses === 0 || cached.length === 0) return { findings, counts, replay };
  const second = run('caches', cached, { maxDivergences: 0 });
  return {
    findings: [...findings, ...second.findings].sort(byCall),
    counts: sum(counts, second.counts),
    replay,
  };
}

interface LintPassResult extends LintFindings {
  readonly replay: ReplayResult;
}

function sum(
  counts: Readonly<Record<string, number>>,
  more: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([id, count]) => [id, count + (more[id] ?? 0)]));
}
