/** Public entry of `store`: the event log in SQLite. */
export type { NewTrace, TraceEnd, TraceWriter } from './append.ts';
export type { AttachmentRow, AuditRows, EventRow, ScopeRow, TenureRow } from './audit-rows.ts';
export type { AuditBuild, SqlValue } from './audit-tables.ts';
export { type BundleVerification, createBundleVerifier, isBundle } from './bundle-verify.ts';
export type { BundleRange, BundleSummary } from './bundle-write.ts';
export { StoreError } from './errors.ts';
export { nodesAbove } from './interval-tree.ts';
export type { OpenOptions } from './open-database.ts';
export type { CallVisitor, ReadRange } from './read-calls.ts';
export { type RowVisitor, readRows } from './read-rows.ts';
export { readRowsAhead } from './read-rows-thread.ts';
export type { RowBlock } from './row-bytes.ts';
export { APPLICATION_ID, SCHEMA_VERSION } from './schema.ts';
export type { Snapshot } from './snapshots.ts';
export { openStore, openTemporaryStore, type Store } from './store.ts';
export type { HardwareChange, StoredTimeline, TimelineRows } from './timeline-tables.ts';
export type { TraceInfo } from './trace-info.ts';
export type { Verification } from './verify.ts';
