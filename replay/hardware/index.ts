/** The page tables, device slots and walks of the IOMMUs behind a trace. */
export { type Comparison, compareDump, type TableDifference } from './compare-dump.ts';
export type { DeviceSlot, HardwareDomain, HardwareView, SlotState } from './domain.ts';
export { type Dump, type DumpedEntry, type DumpedTable, parseDump } from './dumps/index.ts';
export * from './iotlb/index.ts';
export { type LookOptions, lookAt, lookAtAll } from './look.ts';
export type { PageTable, TableEntry, WalkFault, WalkResult, WalkStep } from './page-table.ts';
export { compareSmmuDump } from './smmu-compare.ts';
export { compareSmmuAt, type SmmuComparison } from './smmu-compare-trace.ts';
export { parseSmmuDump } from './smmu-dump.ts';
export { type NestedWalk, walkNested } from './smmu-guest-walk.ts';
export { lookAtSmmu } from './smmu-look.ts';
export type { Access, TableFormat, UnknownBits, Word } from './table-format.ts';
export { findSlot, type Translation, type TranslationStep, translate } from './translate.ts';
export {
  type CompareLogOptions,
  compareVtdLog,
  type LogComparison,
  type LogDifference,
} from './vtd-log/index.ts';
