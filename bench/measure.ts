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

/** Processor time of two pieces of work, each the median of its runs, and the median of their ratios. */
export interface Pair {
  readonly baseMs: number;
  readonly otherMs: number;
  readonly ratio: number;
}

/**
 * Runs the two in turn, so that a machine that gets slower does so for both, and takes the time that the
 * process was given, so that what else the machine does counts for neither.
 */
export function pairedCpuMs(runs: number, base: () => void, other: () => void): Pair {
  const bases: number[] = [];
  const others: number[] = [];
  base();
  other();
  for (let run = 0; run < runs; run += 1) {
    bases.push(cpuMs(base));
    others.push(cpuMs(other));
  }
  const ratio = median(others.map((value, run) => value / bases[run]!));
  return { baseMs: median(bases), otherMs: median(others), ratio };
}

/** Milliseconds of processor time that `work` takes: the best of `runs`. */
export function bestCpuMs(runs: number, work: () => void): number {
  return Math.min(...Array.from({ length: runs }, () => cpuMs(work)));
}

function cpuMs(work: () => void): number {
  collectGarbage();
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
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
