import { writeHeaderRecord, writeRecord } from '../capture-writer.ts';
import { createExportTally, type ExportSource, type ExportSummary, type WriteText } from './source.ts';

/** Writes the trace as a capture: importing it again gives the same trace, byte for byte. */
export function exportCapture(source: ExportSource, write: WriteText): ExportSummary {
  const tally = createExportTally();
  const header = writeHeaderRecord(source.header);
  if (header !== null) write(`${header}\n`);
  for (const call of source.calls()) {
    write(`${writeRecord(call)}\n`);
    tally.wrote();
  }
  return tally.summary();
}
