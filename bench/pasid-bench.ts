import { join } from 'node:path';
import { replayTrace } from '../replay/index.ts';
import { buildPasidHistory, findHolders } from '../src/audit/index.ts';
import { type Call, EMPTY_HEADER, type TraceHeader } from '../src/trace/index.ts';
import { openStore, type Store, type TraceInfo } from '../store/index.ts';
import { against, type BenchResult, bestMs, result } from './measure.ts';
import { type CycleKind, cycleTrace } from './pasid-cycles.ts';
import { createRandom } from './random.ts';

/** Cost of PASIDs that come and go: replay, history, and asking the history who held one. */

const BATCH_CALLS = 4096;
/** Questions asked; the slowest one counts. */
const QUESTIONS = 200;
const MOST_PASID = 512;

/** Rounds in which both traces are replayed in turn, so that a machine that slows down slows both. */
const ROUNDS = 2;

/**
 * A million cycles of each kind; each call beside one of the map and unmap trace, replayed in turn with it.
 * `mapCalls` are those of that trace, for a folder in which measureStore has left none.
 */
export function measurePasids(
  folder: string,
  mapCalls: readonly Call[],
  quick: boolean,
  seed: number,
  say: (line: string) => void,
): BenchResult[] {
  const cycles = quick ? 50_000 : 1_000_000;
  const results: BenchResult[] = [];
  const maps = openStore(join(folder, 'bench.db'));
  const mapTrace = maps.findTrace('bench') ?? storeMaps(maps, mapCalls);
  const store = openStore(join(folder, 'pasids.db'));
  try {
    for (const kind of ['core', 'attach', 'merged'] as const satisfies readonly CycleKind[]) {
      say(`${cycles} PASID cycles, ${kind}`);
      const { traceId, calls } = append(store, kind, cycleTrace(kind, seed, cycles));
      let [mapMs, ms] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      for (let round = 0; round < ROUNDS; round += 1) {
        mapMs = Math.min(
          mapMs,
          bestMs(1, () => void replayTrace(maps, mapTrace.id)),
        );
        ms = Math.min(
          ms,
          bestMs(1, () => check(replayTrace(store, traceId), calls)),
        );
      }
      const baseline = result('replay-store in turn', nsPerCall(mapMs, mapTrace.callCount), 'ns/call');
      const replay = against(`replay-pasids-${kind}`, nsPerCall(ms, calls), 'ns/call', baseline);
      results.push(replay);
      if (kind === 'core') results.push(...measureHistory(store, traceId, calls, replay, seed));
    }
  } finally {
    store.close();
    maps.close();
  }
  return results;
}

const nsPerCall = (ms: number, calls: number): number => (ms * 1e6) / calls;

/** The trace of maps, as measureStore stores it. */
function storeMaps(store: Store, mapCalls: readonly Call[]): TraceInfo {
  const header = { ...EMPTY_HEADER, kernel: '6.12.117' };
  append(store, 'bench', { header, calls: () => mapCalls });
  return store.findTrace('bench')!;
}

function append(
  store: Store,
  name: string,
  { header, calls }: { readonly header: TraceHeader; readonly calls: () => Iterable<Call> },
) {
  const writer = store.beginTrace({ name, header });
  let batch: Call[] = [];
  let count = 0;
  for (const call of calls()) {
    batch.push(call);
    count += 1;
    if (batch.length < BATCH_CALLS) continue;
    writer.append(batch);
    batch = [];
  }
  writer.append(batch);
  writer.seal();
  return { traceId: writer.traceId, calls: count };
}

function check(replayed: { readonly calls: number; readonly diverged: number }, expected: number): void {
  if (replayed.calls !== expected || replayed.diverged !== 0)
    throw new Error(`replayed ${replayed.calls} of ${expected} calls, ${replayed.diverged} diverged`);
}

/**
 * Building the tables beside a bare replay; who held PASID N after call S, and who held any: the slowest of
 * many N and S, asked of the database.
 */
function measureHistory(
  store: Store,
  traceId: number,
  calls: number,
  replay: BenchResult,
  seed: number,
): BenchResult[] {
  const build = bestMs(1, () => void buildPasidHistory(store, traceId));
  const random = createRandom(seed);
  const one = slowestMs(() => {
    const [seq, pasid] = [random.below(calls), 1 + random.below(MOST_PASID)];
    return () => findHolders(store, traceId, seq, { pasid }).length;
  });
  const all = slowestMs(() => {
    const seq = random.below(calls);
    return () => findHolders(store, traceId, seq).length;
  });
  return [
    against('audit-build', nsPerCall(build, calls), 'ns/call', replay),
    result('audit-holder-at-slowest', one, 'ms'),
    result('audit-holders-at-slowest', all, 'ms'),
  ];
}

/** Milliseconds of the slowest of many questions, each the best of three: the least disturbed one. */
function slowestMs(next: () => () => number): number {
  let slowest = 0;
  let found = 0;
  for (let asked = 0; asked < QUESTIONS; asked += 1) {
    const ask = next();
    const ms = bestMs(3, () => {
      found += ask();
    });
    slowest = Math.max(slowest, ms);
  }
  if (found === 0) throw new Error('no PASID was held at any call that was asked for');
  return slowest;
}
