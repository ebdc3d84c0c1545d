import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { compareSmmuPoints, type SmmuComparison } from '../../../replay/hardware/smmu-compare-trace.ts';
import { parseSmmuDump, type SmmuDump } from '../../../replay/hardware/smmu-dump.ts';
import { type Call, type Capture, parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';

/** Dumps of an SMMU beside captures, each compared with what the model says at its marker. */

export interface SmmuCase {
  readonly name: string;
  readonly capture: string;
  /** Paths of the dumps. */
  readonly dumps: readonly string[];
}

export interface SmmuPointCase {
  readonly dump: string;
  readonly comparison: SmmuComparison;
}

const DUMP = /^smmu-(.*)\.txt(?:\.gz)?$/;

export function readText(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

/** Fixtures: captures with a folder of dumps of the same name. */
export function smmuFixtures(folder: string): SmmuCase[] {
  const all = join(folder, 'dumps');
  return readdirSync(all)
    .sort()
    .map((name) => ({
      name,
      capture: join(folder, `${name}.jsonl.gz`),
      dumps: dumpsIn(join(all, name)),
    }));
}

/** Folders below one that hold a capture and dumps of an SMMU; none when it does not exist. */
export function smmuBelow(root: string): SmmuCase[] {
  if (!existsSync(root)) return [];
  const entries = readdirSync(root, { withFileTypes: true });
  const below = entries.filter((each) => each.isDirectory()).map(({ name }) => name);
  const dumps = dumpsIn(root);
  const capture = join(root, 'trace.jsonl.gz');
  const own = existsSync(capture) && dumps.length > 0 ? [{ name: root, capture, dumps }] : [];
  return [...own, ...below.sort().flatMap((name) => smmuBelow(join(root, name)))];
}

function dumpsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => DUMP.test(name))
    .sort()
    .map((name) => join(folder, name));
}

export function readSmmuCapture({ capture }: SmmuCase): Capture {
  return parseCapture(readText(capture), capture);
}

/** Dumps with the records of their markers. */
export function smmuPoints(
  { dumps }: SmmuCase,
  calls: readonly Call[],
): { readonly seq: number; readonly name: string; readonly text: string; readonly dump: SmmuDump }[] {
  const byMarker = new Map(dumps.map((path) => [`dump ${DUMP.exec(basename(path))![1]}`, path]));
  return calls.flatMap((call) => {
    const marker = call.op === 'note' && call.kind === 'marker' ? call.fields['text'] : null;
    const path = typeof marker === 'string' ? byMarker.get(marker) : undefined;
    if (path === undefined) return [];
    const text = readText(path);
    const dump = parseSmmuDump(text);
    if (dump === null) throw new Error(`${path}: no dump of an SMMU`);
    return [{ seq: call.seq, name: basename(path), text, dump }];
  });
}

/** Compares every dump; `edit` may change the calls first. */
export function compareSmmuCase(
  smmu: SmmuCase,
  edit: (calls: readonly Call[]) => readonly Call[] = (calls) => calls,
): SmmuPointCase[] {
  const capture = readSmmuCapture(smmu);
  const points = smmuPoints(smmu, capture.calls);
  return withStored({ header: capture.header, calls: edit(capture.calls) }, (store, traceId) => {
    const compared = compareSmmuPoints(store, store.findTrace(traceId)!, points);
    if (compared === null) throw new Error(`${smmu.name}: the trace tells no registers of an SMMUv3`);
    return points.map(({ name }, at) => ({ dump: name, comparison: compared[at]! }));
  });
}

export interface SmmuTotals {
  dumps: number;
  tables: number;
  entries: number;
  equal: number;
  readonly unknownBits: Record<string, number>;
  readonly differences: string[];
  /** ASIDs and VMIDs of the kernel's own domains, as dumps told. */
  readonly ownIds: Set<string>;
}

export function noSmmuTotals(): SmmuTotals {
  return { dumps: 0, tables: 0, entries: 0, equal: 0, unknownBits: {}, differences: [], ownIds: new Set() };
}

export function addSmmu(totals: SmmuTotals, name: string, cases: readonly SmmuPointCase[]): void {
  for (const { dump, comparison } of cases) {
    totals.dumps += 1;
    totals.tables += comparison.tables;
    totals.entries += comparison.entries;
    totals.equal += comparison.equal;
    for (const [holds, bits] of Object.entries(comparison.unknownBits))
      totals.unknownBits[holds] = (totals.unknownBits[holds] ?? 0) + bits;
    for (const { bdf, why, ours, theirs } of comparison.differences)
      totals.differences.push(
        `${name} ${dump} ${bdf} ${why}: ${ours?.toString(16)}, ${theirs?.toString(16)}`,
      );
    const { asids, vmids } = comparison.ownIds;
    if (asids !== null) totals.ownIds.add(`${asids} ASIDs`);
    if (vmids !== null) totals.ownIds.add(`${vmids} VMIDs`);
  }
}
