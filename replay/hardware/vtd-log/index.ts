/** Logs of QEMU's emulated VT-d. */
export { type CompareLogOptions, compareVtdLog, type LogComparison } from './compare.ts';
export type { LogDifference } from './difference.ts';
export { parseVtdLog, type VtdEvent } from './parse.ts';
