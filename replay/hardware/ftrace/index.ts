/** The kernel's trace of its IOMMU events, and what the model says should be in it. */
export { compareFtrace, type EventDifference, type FtraceComparison } from './compare.ts';
export type { ExpectedEvent } from './match.ts';
export { type Ftrace, type IommuEvent, parseFtrace } from './parse.ts';
