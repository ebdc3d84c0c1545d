/** Public entry of `src/trace`: calls, headers, and the capture format that holds them. */
export { decodeByteString, decodeHex, encodeByteString, encodeHex, isSameBytes, isSkipped } from './bytes.ts';
export type * from './call.ts';
export { callToRecord, type WritableRecord } from './call-to-record.ts';
export type { ProgressListener, SourceOptions } from './capture-bytes.ts';
export {
  type Capture,
  type CaptureSummary,
  type CaptureVisitor,
  parseCapture,
  type ReadCaptureOptions,
  readCapture,
} from './capture-reader.ts';
export { type CaptureWriter, openCaptureWriter, writeHeaderRecord, writeRecord } from './capture-writer.ts';
export { type CapturePosition, RecordError, TraceError } from './errors.ts';
export {
  type CExportOptions,
  CSV_COLUMNS,
  type CsvExportOptions,
  type ExportSource,
  type ExportSummary,
  exportC,
  exportCapture,
  exportCsv,
  exportPerfetto,
  exportSyzkaller,
  type PerfettoExportOptions,
  type SyzkallerExportOptions,
  type TraceMark,
  type WriteText,
} from './exporters/index.ts';
export type { JsonRecord } from './fields.ts';
export type * from './header.ts';
export { FORMAT_NAMES, type ReadTraceOptions, readTrace, type TraceSummary } from './importers/index.ts';
export { isEffective, type LimitsNote, limitsOf } from './limits-note.ts';
export { createLineSplitter, type LineSplitter } from './line-splitter.ts';
export { mergeTopologies } from './merge-topologies.ts';
export { EMPTY_HEADER, headerToRecord, parseHeader, parseTopology } from './parse-header.ts';
export { LINE_BYTES_MAX, type LinePosition, type ParsedRecord, parseRecord } from './parse-record.ts';
export { isAnswerWhole, isRequestWhole, partialJson } from './partial.ts';
export { recordToCall } from './record-to-call.ts';
export {
  type CallLinks,
  createResourceTracker,
  type InitialMemory,
  type Link,
  type Place,
  type Resource,
  type ResourceTracker,
  type Site,
  setValueAt,
  sitesOf,
  valueAt,
  wordAt,
} from './resources/index.ts';
export { createReusedIoctl } from './reused-call.ts';
