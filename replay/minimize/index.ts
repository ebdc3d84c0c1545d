/** Public entry of `replay/minimize`: the smallest trace that still shows something. */
export type { Candidate } from './candidate.ts';
export { divergenceGoal, errnoGoal } from './goals.ts';
export {
  type MinimizeGoal,
  type MinimizeOptions,
  type MinimizeStep,
  minimizeTrace,
  NothingToMinimizeError,
} from './minimize.ts';
export { type ReduceStep, type ReduceTest, reduce } from './reduce.ts';
