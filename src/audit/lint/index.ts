/** The engine of `ioasis lint`: rules that watch a replay. */
export { type ChainLink, isAtLeast, type LintFinding, SEVERITIES, type Severity } from './finding.ts';
export { type LintOptions, type LintResult, lintTrace } from './lint-trace.ts';
export type { Rule, RuleDoc } from './rule.ts';
