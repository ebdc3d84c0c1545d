import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Comparison } from '../../../replay/hardware/compare-dump.ts';
import { compareSmmu } from '../../../replay/hardware/smmu-compare.ts';
import { parseSmmuDump, type SmmuDump } from '../../../replay/hardware/smmu-dump.ts';
import { lookAtSmmu, type SmmuLookOptions } from '../../../replay/hardware/smmu-look.ts';
import { type Capture, parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';

/** Dumps of an SMMU beside captures, each compared with what the model says at its marker. */

export interface SmmuCase {
  readonly dump: string;
  readonly comparison: Comparison;
}

/** Ids that the kernel's own domains hold on these machines: three devices and the host bridge, one each. */
export const OWN_DOMAINS = 4;

const DUMP = /^smmu-(.*)\.txt(?:\.gz)?$/;

export function readText(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

/** Folders below one that hold a capture and dumps of an SMMU. */
export function smmuFolders(root: string): string[] {
  if (!existsSync(root)) return [];
  const entries = readdirSync(root, { withFileTypes: true });
  const names = entries.filter((each) => each.isFile()).map(({ name }) => name);
  const own = names.includes('trace.jsonl.gz') && names.some((name) => DUMP.test(name)) ? [root] : [];
  const below = entries.filter((each) => each.isDirectory()).map(({ name }) => name);
  return [...own, ...below.sort().flatMap((name) => smmuFolders(join(root, name)))];
}

export function compareSmmuFolder(folder: string): SmmuCase[] {
  const capture = parseCapture(readText(join(folder, 'trace.jsonl.gz')), folder);
  const dumps = new Map(
    readdirSync(folder).flatMap((name): [string, string][] => {
      const found = DUMP.exec(name);
      return found === null ? [] : [[`dump ${found[1]}`, name]];
    }),
  );
  return compareSmmuDumps(capture, (text) => {
    const name = dumps.get(text);
    return name === undefined ? null : { name, text: readText(join(folder, name)) };
  });
}

/** Compares each dump that `find` has for the text of a marker. */
export function compareSmmuDumps(
  capture: Capture,
  find: (marker: string) => { readonly name: string; readonly text: string } | null,
): SmmuCase[] {
  const points = capture.calls.flatMap((call) => {
    const text = call.op === 'note' && call.kind === 'marker' ? call.fields['text'] : null;
    const found = typeof text === 'string' ? find(text) : null;
    const dump = found === null ? null : parseSmmuDump(found.text);
    return dump === null || found === null ? [] : [{ seq: call.seq, name: found.name, dump }];
  });
  if (points.length === 0) return [];
  return withStored(capture, (store, traceId) => {
    const at = points.map(({ seq }) => seq);
    const views = lookAtSmmu(store, store.findTrace(traceId)!, at, ownIds(points[0]!.dump));
    if (views === null) throw new Error('the trace tells no registers of an SMMUv3');
    return points.map(({ name, dump }, index) => ({
      dump: name,
      comparison: compareSmmu(dump, views[index]!),
    }));
  });
}

/** The kernel's own domains use stage 1 where there is one. */
function ownIds({ registers }: SmmuDump): SmmuLookOptions {
  const hasStage1 = (registers[0]! & 2) !== 0;
  return hasStage1 ? { ownAsids: OWN_DOMAINS, ownVmids: 0 } : { ownAsids: 0, ownVmids: OWN_DOMAINS };
}
