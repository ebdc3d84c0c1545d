/** Public entry of `src/trace/exporters`: traces in the formats of others, one file each. */
export { type CExportOptions, exportC } from './c.ts';
export { exportCapture } from './capture.ts';
export { CSV_COLUMNS, type CsvExportOptions, exportCsv } from './csv.ts';
export { exportPerfetto, type PerfettoExportOptions, type TraceMark } from './perfetto.ts';
export type { ExportSource, ExportSummary, WriteText } from './source.ts';
export { exportSyzkaller, type SyzkallerExportOptions } from './syzkaller.ts';
