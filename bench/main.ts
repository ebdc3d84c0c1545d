import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import type { Call } from '../src/trace/index.ts';
import { generateTrace } from './generate.ts';
import { measureHardware } from './hardware-bench.ts';
import { measureImporters } from './import-bench.ts';
import { measureLint } from './lint-bench.ts';
import type { BenchResult } from './measure.ts';
import { measureMinimize } from './minimize-bench.ts';
import { measureModel } from './model-bench.ts';
import { measurePasids } from './pasid-bench.ts';
import { measureRecord } from './record-bench.ts';
import { measureStore } from './store-bench.ts';
import { measureTimeline } from './timeline-bench.ts';

/**
 * `npm run bench [-- --json] [-- --quick] [-- --only PART]`: what it costs, each figure beside a baseline of
 * the same run.
 */

const SEED = 20261120;
/** Calls of the trace whose points are looked for. */
const LONG_CALLS = 10_000_000;
/** Calls of the traces that are cut down to one bug. */
const PLANTED_CALLS = 300_000;

interface Part {
  readonly name: string;
  readonly measure: () => readonly BenchResult[] | Promise<readonly BenchResult[]>;
}

async function main(): Promise<void> {
  const { json, quick, only } = parseArgs({
    options: {
      json: { type: 'boolean' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
    },
  }).values;
  const calls = quick ? 200_000 : 1_000_000;
  const folder = mkdtempSync(join(tmpdir(), 'ioasis-bench-'));
  try {
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    say(`seed ${SEED}, ${calls} calls, node ${process.version}`);
    const results: BenchResult[] = [];
    const parts = partsOf(folder, generateTrace('map-unmap', SEED, calls), quick, results, say);
    const names = parts.map(({ name }) => name);
    if (only !== undefined && !names.includes(only))
      throw new Error(`--only takes one of ${names.join(', ')}, not ${only}`);
    for (const { name, measure } of parts) {
      // What the model costs stands beside the replay that the store measures.
      if (only === undefined || only === name || (only === 'model' && name === 'store'))
        results.push(...(await measure()));
    }
    if (json) console.log(JSON.stringify({ seed: SEED, calls, results }, null, 2));
    else console.log(render(results));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is measured, in this order; a part sees the results of those before it. */
function partsOf(
  folder: string,
  trace: readonly Call[],
  quick: boolean,
  results: readonly BenchResult[],
  say: (line: string) => void,
): Part[] {
  const replayStore = (): BenchResult => results.find(({ name }) => name === 'replay-store')!;
  return [
    { name: 'store', measure: () => measureStore(folder, trace, say) },
    { name: 'timeline', measure: () => measureTimeline(folder, quick ? 400_000 : LONG_CALLS, SEED, say) },
    { name: 'pasids', measure: () => measurePasids(folder, trace, quick, SEED, say) },
    { name: 'model', measure: () => measureModel(trace, replayStore(), quick, SEED, say) },
    { name: 'hardware', measure: () => measureHardware(quick, SEED, say) },
    { name: 'importers', measure: () => measureImporters(folder, trace, quick, say) },
    { name: 'minimize', measure: () => measureMinimize(quick ? 30_000 : PLANTED_CALLS, SEED, say) },
    { name: 'lint', measure: () => measureLint(trace, SEED, say) },
    { name: 'record', measure: () => measureRecord(folder, quick ? 100_000 : 500_000, say) },
  ];
}

function render(results: readonly BenchResult[]): string {
  const table = new Table({ head: ['what', 'value', 'unit', 'baseline', 'baseline value', 'ratio'] });
  const number = (value: number | null): string =>
    value === null ? '' : value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(2);
  for (const { name, value, unit, baseline, baselineValue, ratio } of results) {
    table.push([name, number(value), unit, baseline ?? '', number(baselineValue), number(ratio)]);
  }
  return table.toString();
}

await main();
