/** The public entry of replay: traces applied to the model, and compared with what was recorded. */
export { type Applied, adoptAnswer, applyCall, verdictOn } from './apply.ts';
export { callName, compareReply, isPredicted, type Verdict } from './compare.ts';
export * from './diff/index.ts';
export type { Divergence } from './divergence.ts';
export { createExitWatch } from './exit-watch.ts';
export {
  type ExplainedContext,
  type ExplainedObject,
  type ExplainedRefusal,
  type Explanation,
  explainAt,
  explainCall,
} from './explain.ts';
export * from './graph/index.ts';
export * from './hardware/index.ts';
export { findMarker } from './markers.ts';
export {
  type Candidate,
  divergenceGoal,
  errnoGoal,
  type MinimizeGoal,
  type MinimizeOptions,
  type MinimizeStep,
  minimizeTrace,
  NothingToMinimizeError,
  reduce,
} from './minimize/index.ts';
export type { ModelChoice } from './model-choice.ts';
export { type NamedObject, objectsNamed } from './named-objects.ts';
export type { TracedFinding } from './origins.ts';
export { type Prediction, type PredictSummary, predictTrace } from './predict.ts';
export {
  digestOf,
  type ReplayOptions,
  type ReplayResult,
  replayTrace,
} from './replayer.ts';
export { graphAt, stateAt } from './state-at.ts';
export * from './timeline/index.ts';
export { type Outcome, type ReplayWatcher, tellBoth } from './watcher.ts';
