/** One measured figure beside its baseline from the same run. */
export interface BenchResult {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly baseline: string | null;
  readonly baselineValue: number | null;
  readonly ratio: number | null;
}

/** Milliseconds that `work` takes: the best of `runs`, which is the least disturbed one. */
export function bestMs(runs: number, work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run += 1) {
    collectGarbage();
    const start = process.hrtime.bigint();
    work();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e6);
  }
  return best;
}

export function collectGarbage(): void {
  globalThis.gc?.();
}

export function result(name: string, value: number, unit: string): BenchResult {
  return { name, value, unit, baseline: null, baselineValue: null, ratio: null };
}

export function against(name: string, value: number, unit: string, baseline: BenchResult): BenchResult {
  return {
    name,
    value,
    unit,
    baseline: baseline.name,
    baselineValue: baseline.value,
    ratio: value / baseline.value,
  };
}
