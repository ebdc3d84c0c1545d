/** Readers of what other tools record. */
export { detectFormat, FOREIGN_FORMATS, FORMAT_NAMES } from './formats.ts';
export type { ForeignFormat, ImportSink, LineImporter, UnplacedCall } from './importer.ts';
export { type ReadTraceOptions, readTrace, type TraceSummary } from './read-trace.ts';
