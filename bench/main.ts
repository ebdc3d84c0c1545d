import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Table from 'cli-table3';
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

/** `npm run bench [-- --json] [-- --quick]`: what it costs, each figure beside a baseline of the same run. */

const SEED = 20261120;
/** Calls of the trace whose points are looked for. */
const LONG_CALLS = 10_000_000;
/** Calls of the traces that are cut down to one bug. */
const PLANTED_CALLS = 300_000;

async function main(): Promise<void> {
  const json = process.argv.includes('--json');
  const quick = process.argv.includes('--quick');
  const calls = quick ? 200_000 : 1_000_000;
  const folder = mkdtempSync(join(tmpdir(), 'ioasis-bench-'));
  try {
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    say(`seed ${SEED}, ${calls} calls, node ${process.version}`);
    const trace = generateTrace('map-unmap', SEED, calls);
    const results: BenchResult[] = await measureStore(folder, trace, say);
    results.push(...measureTimeline(folder, quick ? 400_000 : LONG_CALLS, SEED, say));
    const replayStore = results.find(({ name }) => name === 'replay-store')!;
    results.push(...measurePasids(folder, quick, SEED, say));
    results.push(...measureModel(trace, replayStore, quick, SEED, say), ...measureHardware(quick, SEED, say));
    results.push(...(await measureImporters(folder, trace, quick, say)));
    results.push(...measureMinimize(quick ? 30_000 : PLANTED_CALLS, SEED, say));
    results.push(...measureLint(trace, SEED, say));
    results.push(...measureRecord(folder, quick ? 100_000 : 500_000, say));
    if (json) console.log(JSON.stringify({ seed: SEED, calls, results }, null, 2));
    else console.log(render(results));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
