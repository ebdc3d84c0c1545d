import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Comparison, compareDump, findMarker, lookAtAll, parseDump } from '../../../replay/index.ts';
import { parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';

/** Dumps of real page tables compared with what the model says at their markers. */

/** A capture, and the folder with the dumps that belong to its markers. */
export interface Dumped {
  readonly name: string;
  readonly capture: string;
  readonly dumps: string;
}

/** What came of all dumps of one or more captures. */
export interface DumpTotals {
  dumps: number;
  tables: number;
  deviceEntries: number;
  entries: number;
  equal: number;
  different: number;
  undetermined: number;
  readonly unknownBits: Record<string, number>;
  /** The first difference of each dump that has any. */
  readonly differences: string[];
}

const DUMP = /^(?:debugfs|tables)-(.*)\.txt(?:\.gz)?$/;

export function readText(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

/** Captures of a fixture folder that have dumps. */
export function dumpedFixtures(folder: string): Dumped[] {
  return readdirSync(join(folder, 'dumps'))
    .sort()
    .map((name) => ({
      name,
      capture: join(folder, `${name}.jsonl.gz`),
      dumps: join(folder, 'dumps', name),
    }));
}

/** Folders below one that hold a capture and its dumps side by side. */
export function dumpedBelow(root: string): Dumped[] {
  if (!existsSync(root)) return [];
  const entries = readdirSync(root, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const capture = join(root, 'trace.jsonl.gz');
  const own = names.includes('trace.jsonl.gz') && names.some((name) => DUMP.test(name));
  const below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return [
    ...(own ? [{ name: root, capture, dumps: root }] : []),
    ...below.sort().flatMap((name) => dumpedBelow(join(root, name))),
  ];
}

export function noTotals(): DumpTotals {
  return {
    dumps: 0,
    tables: 0,
    deviceEntries: 0,
    entries: 0,
    equal: 0,
    different: 0,
    undetermined: 0,
    unknownBits: {},
    differences: [],
  };
}

/** Compares every dump of a capture, and adds what came of it. A dump without its marker is an error. */
export function addDumped(totals: DumpTotals, { capture, dumps }: Dumped): void {
  const files = readdirSync(dumps).filter((name) => DUMP.test(name));
  withStored(parseCapture(readText(capture), capture), (store, traceId) => {
    const points = files.map((dump) => {
      const seq = findMarker(store, traceId, DUMP.exec(dump)![1]!);
      if (seq === null) throw new Error(`${dump}: the capture has no such marker`);
      return seq;
    });
    const views = lookAtAll(store, store.findTrace(traceId)!, points);
    files.forEach((dump, at) => {
      const parsed = parseDump(readText(join(dumps, dump)));
      if (parsed === null) throw new Error(`${dump}: no dump`);
      addComparison(totals, `${basename(dumps)}/${dump}`, compareDump(views[at]!, parsed));
    });
  });
}

function addComparison(totals: DumpTotals, name: string, comparison: Comparison): void {
  totals.dumps += 1;
  totals.tables += comparison.tables;
  totals.deviceEntries += comparison.deviceEntries;
  totals.entries += comparison.entries;
  totals.equal += comparison.equal;
  totals.different += comparison.different;
  totals.undetermined += comparison.undetermined.length;
  for (const [holds, bits] of Object.entries(comparison.unknownBits)) {
    totals.unknownBits[holds] = (totals.unknownBits[holds] ?? 0) + bits;
  }
  const [first] = comparison.differences;
  if (first === undefined) return;
  const text = JSON.stringify(first, (_, value) =>
    typeof value === 'bigint' ? `0x${value.toString(16)}` : (value as unknown),
  );
  totals.differences.push(`${name}: ${text}`);
}
