import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Comparison, compareDump, lookAtAll, parseDump } from '../../../replay/hardware/index.ts';
import { findMarker } from '../../../replay/markers.ts';
import { parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';

/** Every dump of page tables that lies beside a capture, compared with what the model says at its marker. */

export interface DumpCase {
  readonly folder: string;
  readonly dump: string;
  readonly comparison: Comparison;
}

const DUMP = /^(?:debugfs|tables)-(.*)\.txt(?:\.gz)?$/;

export function readText(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

/** Folders below one that hold a capture and dumps. */
export function foldersWithDumps(root: string): string[] {
  if (!existsSync(root)) return [];
  const entries = readdirSync(root, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const own = names.includes('trace.jsonl.gz') && names.some((name) => DUMP.test(name)) ? [root] : [];
  const below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return [...own, ...below.sort().flatMap((name) => foldersWithDumps(join(root, name)))];
}

/** Compares every dump of a folder. A dump without a marker in the trace belongs to no point of it. */
export function compareFolder(folder: string): DumpCase[] {
  const capture = parseCapture(readText(join(folder, 'trace.jsonl.gz')), folder);
  const files = readdirSync(folder).filter((name) => DUMP.test(name));
  return withStored(capture, (store, traceId) => {
    const points = files.flatMap((dump) => {
      const seq = findMarker(store, traceId, DUMP.exec(dump)![1]!);
      return seq === null ? [] : [{ dump, seq }];
    });
    const trace = store.findTrace(traceId)!;
    const views = lookAtAll(store, trace, points.map(({ seq }) => seq));
    return points.map(({ dump }, at) => {
      const parsed = parseDump(readText(join(folder, dump)));
      if (parsed === null) throw new Error(`${folder}/${dump}: no dump`);
      return { folder, dump, comparison: compareDump(views[at]!, parsed) };
    });
  });
}
