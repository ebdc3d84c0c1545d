import type { Dump, ParseDump } from './dump.ts';
import { parseTablesText } from './tables-text.ts';
import { parseVtdDebugfs } from './vtd-debugfs.ts';

export type { Dump, DumpedDevice, DumpedEntry, DumpedTable } from './dump.ts';

/** Each knows its own by what stands in it; no two take the same text. */
const PARSERS: readonly ParseDump[] = [parseTablesText, parseVtdDebugfs];

/** Reads a dump of any kind known, found by its content; null when it is none. */
export function parseDump(text: string): Dump | null {
  for (const parse of PARSERS) {
    const dump = parse(text);
    if (dump !== null) return dump;
  }
  return null;
}
