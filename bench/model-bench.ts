import { chooseProfile, createKernel, execute, type Kernel } from '../src/model/index.ts';
import type { Call, IoctlCall } from '../src/trace/index.ts';
import { buildStruct, CMD, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP } from '../src/uapi/index.ts';
import { generateTrace, type TraceKind } from './generate.ts';
import { against, type BenchResult, bestMs, collectGarbage, result } from './measure.ts';
import { replayNaively } from './naive.ts';

/** Cost of the model itself, without a store. */

const NAIVE_CALLS = 20_000;

export function measureModel(
  calls: readonly Call[],
  quick: boolean,
  seed: number,
  say: (line: string) => void,
): BenchResult[] {
  say('model');
  const results: BenchResult[] = [];
  const memory = result('replay-memory', nsPerCall(calls, () => applyAll(calls)), 'ns/call');
  results.push(memory);
  const some = calls.slice(0, quick ? NAIVE_CALLS / 4 : NAIVE_CALLS);
  const naive = (bestMs(1, () => void replayNaively(some)) * 1e6) / some.length;
  results.push(against('replay-naive', naive, 'ns/call', memory));
  for (const kind of ['attach-detach', 'id-churn'] as const satisfies readonly TraceKind[]) {
    const trace = generateTrace(kind, seed, quick ? 20_000 : 100_000);
    results.push(against(`replay-memory-${kind}`, nsPerCall(trace, () => applyAll(trace)), 'ns/call', memory));
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

/** A kernel with one open /dev/iommu and one IOAS, and a call to reuse. */
function openKernel(): { kernel: Kernel; request: { -readonly [K in keyof IoctlCall]: IoctlCall[K] } } {
  const [open, alloc] = generateTrace('map-unmap', 1, 3) as [Call, IoctlCall];
  const kernel = freshKernel();
  execute(kernel, open);
  execute(kernel, alloc);
  return { kernel, request: { ...alloc } };
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
  return [page, { ...against('map-1tib', large, 'ns', page) }, result('map-1tib-vs-4kib', large / small, 'ratio')];
}

/** Resident memory that each live area adds. */
function measureAreaMemory(areas: number): BenchResult {
  const { kernel, request } = openKernel();
  const arg = buildStruct(IOMMU_IOAS_MAP, { flags: 7, ioas_id: 1, user_va: 1n << 41n, length: 4096n, iova: 0n });
  const view = new DataView(arg.buffer, arg.byteOffset);
  request.cmd = CMD.IOMMU_IOAS_MAP;
  request.arg = arg;
  collectGarbage();
  const before = process.memoryUsage().rss;
  for (let area = 0; area < areas; area += 1) {
    // Every second page, in an order that is neither ascending nor descending.
    const page = ((area * 7919) % areas) * 2 + 16;
    view.setBigUint64(32, BigInt(page) * 4096n, true);
    if (execute(kernel, request).errno !== 0) throw new Error(`map ${area} was refused`);
  }
  collectGarbage();
  return result('memory-per-live-area', (process.memoryUsage().rss - before) / areas, 'bytes');
}
