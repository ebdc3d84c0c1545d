/** How bad a finding is: the levels of SARIF that mean something. Worst last. */
export const SEVERITIES = ['note', 'warning', 'error'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One call of the causal chain of a finding. */
export interface ChainLink {
  readonly seq: number;
  /** What the call is in the story: `created`, `mapped`, `destroyed`, `used` … */
  readonly role: string;
  /** What it did, in a few words. */
  readonly says: string;
}

/** One hazard or bug in a trace. */
export interface LintFinding {
  /** Id of the rule, stable for ever. */
  readonly id: string;
  readonly severity: Severity;
  /** The call that the finding is about: where a person would begin to look. */
  readonly seq: number;
  /** Who created, who freed, who used after: the calls that it takes, by `seq`. */
  readonly chain: readonly ChainLink[];
  /** What is wrong, with the ids and addresses of this trace. */
  readonly message: string;
  /** How to repair the program (or the kernel). */
  readonly fix: string;
}

/** Whether a finding is as bad as `least`, or worse. */
export function isAtLeast(severity: Severity, least: Severity): boolean {
  return SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(least);
}
