import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { chooseProfile, createKernel, execute, type Kernel } from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import { buildStruct, CMD, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP } from '../src/uapi/index.ts';
import { generateTrace, openKernel, type TraceKind } from './generate.ts';
import { against, type BenchResult, bestMs, result } from './measure.ts';
import { replayNaively } from './naive.ts';

/** Cost of the model itself, without a store. */

const NAIVE_CALLS = 20_000;

export function measureModel(
  calls: readonly Call[],
  replayStore: BenchResult,
  quick: boolean,
  seed: number,
  say: (line: string) => void,
): BenchResult[] {
  say('model');
  const results: BenchResult[] = [];
  const memory = result(
    'replay-memory',
    nsPerCall(calls, () => applyAll(calls)),
    'ns/call',
  );
  results.push(memory);
  const some = calls.slice(0, quick ? NAIVE_CALLS / 4 : NAIVE_CALLS);
  const naive = (bestMs(1, () => void replayNaively(some)) * 1e6) / some.length;
  results.push(against('replay-naive', naive, 'ns/call', replayStore));
  for (const kind of ['attach-detach', 'id-churn'] as const satisfies readonly TraceKind[]) {
    const trace = generateTrace(kind, seed, quick ? 20_000 : 100_000);
    results.push(
      against(
        `replay-memory-${kind}`,
        nsPerCall(trace, () => applyAll(trace)),
        'ns/call',
        memory,
      ),
    );
  }
  results.push(...measureMapSizes(), measureAreaMemory(quick ? 200_000 : 1_000_000));
  return results;
}

function nsPerCall(calls: readonly Call[], work: () => void): number {
  return (bestMs(2, work) * 1e6) / calls.length;
}

function freshKernel(): Kernel {
  return createKernel(chooseProfile('6.12', 4096).profile);
}

function applyAll(calls: readonly Call[]): void {
  const kernel = freshKernel();
  for (const call of calls) execute(kernel, call);
}

/** One map and unmap of 1 TiB beside one of 4 KiB. */
function measureMapSizes(): BenchResult[] {
  const rounds = 100_000;
  const cost = (length: bigint): number => {
    const { kernel, request } = openKernel();
    const iova = 1n << 41n;
    const map = buildStruct(IOMMU_IOAS_MAP, { flags: 7, ioas_id: 1, user_va: 1n << 41n, length, iova });
    const unmap = buildStruct(IOMMU_IOAS_UNMAP, { ioas_id: 1, iova, length });
    return bestMs(3, () => {
      for (let round = 0; round < rounds; round += 1) {
        request.cmd = CMD.IOMMU_IOAS_MAP;
        request.arg = map;
        execute(kernel, request);
        request.cmd = CMD.IOMMU_IOAS_UNMAP;
        request.arg = unmap;
        execute(kernel, request);
      }
    });
  };
  const small = (cost(4096n) * 1e6) / rounds;
  const large = (cost(1n << 40n) * 1e6) / rounds;
  const page = result('map-4kib', small, 'ns');
  return [
    page,
    { ...against('map-1tib', large, 'ns', page) },
    result('map-1tib-vs-4kib', large / small, 'ratio'),
  ];
}

/**
 * Resident memory that each live area adds, measured in a process of its own: this one has freed memory to
 * reuse.
 */
function measureAreaMemory(areas: number): BenchResult {
  const script = join(import.meta.dirname, 'area-memory.js');
  const output = execFileSync(process.execPath, ['--expose-gc', script, String(areas)], { encoding: 'utf8' });
  return result('memory-per-live-area', Number(output), 'bytes');
}
