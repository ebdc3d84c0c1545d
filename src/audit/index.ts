/** The public entry of src/audit: who held which PASID, folded from the log into tables of the store. */
export { type BuildOptions, buildPasidHistory } from './build.ts';
export type { PasidCall, PasidEvent, PasidSpace, PasidTarget } from './event.ts';
export { type FindingChoice, findingGoal } from './finding-goal.ts';
export { createPasidHistory, type PasidHistory } from './history.ts';
export { IOMMUFD, watchIommufd } from './iommufd-events.ts';
export {
  type ChainLink,
  isAtLeast,
  type LintFinding,
  type LintOptions,
  type LintResult,
  lintTrace,
  type Rule,
  type RuleDoc,
  SEVERITIES,
  type Severity,
} from './lint/index.ts';
export { watchProposal } from './proposal-events.ts';
export {
  type EventLine,
  findEvents,
  findFunctions,
  findHolders,
  findScopes,
  findTenures,
  type HolderLine,
  type PasidFilter,
  type ScopeLine,
  type TenureLine,
} from './questions.ts';
export { RULES } from './rules/index.ts';
