/** The public entry of conformance: recorded calls beside what the model answers to them. */
export { type CaptureFile, FIXTURES, findCaptures } from './captures.ts';
export { CAUSES, type Cause, causeOf, UNEXPLAINED } from './causes.ts';
export { addCounts, type Counts, comparable, noCounts, rightResults } from './counts.ts';
export type { Difference } from './difference.ts';
export { groupDifferences, type KnownDifference, parseKnown, renderKnown } from './known.ts';
export { type CaptureReport, replayCapture } from './replay-capture.ts';
export { renderReport } from './report.ts';
