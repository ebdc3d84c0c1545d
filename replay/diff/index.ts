/** Public entry of the comparison of traces. */
export type { CallDifference, FieldDifference } from './align.ts';
export { type Bisection, bisectTraces, type ChangePoint } from './bisect.ts';
export type { AreaDifference } from './compare-areas.ts';
export type { CacheDifference } from './compare-caches.ts';
export type { HardwareDifference } from './compare-hardware.ts';
export type { StateComparison, StateDifference } from './compare-states.ts';
export { type DiffPoint, diffTraces, type TraceDiff } from './diff-traces.ts';
export type { DiffOptions, Meaning, MeaningField } from './meaning.ts';
export type { CallEffect } from './why.ts';
