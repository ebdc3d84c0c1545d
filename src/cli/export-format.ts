import {
  type ExportSource,
  type ExportSummary,
  exportC,
  exportCapture,
  exportCsv,
  exportSyzkaller,
} from '../trace/index.ts';
import { renderCall } from './call-text.ts';

/** Formats that need nothing but the calls of a trace. */
export const CALL_FORMATS = ['capture', 'csv', 'c', 'syzkaller'] as const;
export type CallFormat = (typeof CALL_FORMATS)[number];

/** Writes a trace in a format. */
export function writeCalls(
  format: CallFormat,
  source: ExportSource,
  write: (text: string) => void,
): ExportSummary {
  switch (format) {
    case 'capture':
      return exportCapture(source, write);
    case 'csv':
      return exportCsv(source, write, { describe: renderCall });
    case 'c':
      return exportC(source, write, { describe: renderCall });
    case 'syzkaller':
      return exportSyzkaller(source, write, { describe: renderCall });
  }
}
