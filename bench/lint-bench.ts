import { replayTrace } from '../replay/index.ts';
import { lintTrace } from '../src/audit/index.ts';
import { type Call, EMPTY_HEADER } from '../src/trace/index.ts';
import { openTemporaryStore } from '../store/index.ts';
import { generateTrace, type TraceKind } from './generate.ts';
import { against, type BenchResult, bestMs, result } from './measure.ts';

/**
 * Cost of `ioasis lint` beside a plain replay of the same trace from the store: all rules, one pass. The
 * ratio is lint over replay, so 2 is half the rate.
 */

const HEADER = { ...EMPTY_HEADER, kernel: '6.12.117' };
const PAGE_ROWS = 4096;
/** Shorter traces are over before the program is warm: their ratio is one of compilers. */
const CALLS = 100_000;
const KINDS = ['map-unmap', 'attach-detach', 'id-churn'] as const satisfies readonly TraceKind[];

export function measureLint(
  calls: readonly Call[],
  seed: number,
  say: (line: string) => void,
): BenchResult[] {
  return KINDS.flatMap((kind) => {
    say(`lint ${kind}`);
    const trace = kind === 'map-unmap' ? calls : generateTrace(kind, seed, CALLS);
    return measureKind(kind, trace);
  });
}

function measureKind(kind: TraceKind, calls: readonly Call[]): BenchResult[] {
  const store = openTemporaryStore();
  const writer = store.beginTrace({ name: 'lint', header: HEADER });
  for (let at = 0; at < calls.length; at += PAGE_ROWS) writer.append(calls.slice(at, at + PAGE_ROWS));
  writer.seal();
  const nsPerCall = (work: () => void): number => (bestMs(3, work) * 1e6) / calls.length;
  const replay = result(
    `replay-store-${kind}`,
    nsPerCall(() => void replayTrace(store, writer.traceId)),
    'ns/call',
  );
  const lint = nsPerCall(() => void lintTrace(store, writer.traceId));
  store.close();
  return [replay, against(`lint-${kind}`, lint, 'ns/call', replay)];
}
