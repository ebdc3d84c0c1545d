import { join } from 'node:path';
import { replayTrace } from '../replay/index.ts';
import { buildPasidHistory, findHolders } from '../src/audit/index.ts';
import type { Call } from '../src/trace/index.ts';
import { openStore, type Store } from '../store/index.ts';
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
 * A million cycles of the PASID core, a tenth of that of the other generations; each call beside one of the
 * map and unmap trace that measureStore has left in the folder, replayed in turn with it.
 */
export function measurePasids(
  folder: string,
  quick: boolean,
  seed: number,
  say: (line: string) => void,
): BenchResult[] {
  const cycles = quick ? 50_000 : 1_000_000;
  const results: BenchResult[] = [];
  const maps = openStore(join(folder, 'bench.db'));
  const mapTrace = maps.findTrace('bench')!;
  const store = openStore(join(folder, 'pasids.db'));
  try {
    for (const kind of ['core', 'attach', 'merged'] as const satisfies readonly CycleKind[]) {
      const count = kind === 'core' ? cycles : cycles / 10;
      say(`${count} PASID cycles, ${kind}`);
      const { traceId, calls } = append(store, kind, seed, count);
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

function append(store: Store, kind: CycleKind, seed: number, cycles: number) {
  const { header, calls } = cycleTrace(kind, seed, cycles);
  const writer = store.beginTrace({ name: kind, header });
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

/** Building the tables beside a bare replay; who held PASID N after call S, the slowest of many N and S. */
function measureHistory(
  store: Store,
  traceId: number,
  calls: number,
  replay: BenchResult,
  seed: number,
): BenchResult[] {
  const build = bestMs(1, () => void buildPasidHistory(store, traceId));
  const random = createRandom(seed);
  let slowest = 0;
  let found = 0;
  for (let asked = 0; asked < QUESTIONS; asked += 1) {
    const [seq, pasid] = [random.below(calls), 1 + random.below(MOST_PASID)];
    const ms = bestMs(3, () => {
      found += findHolders(store, traceId, seq, { pasid }).length;
    });
    slowest = Math.max(slowest, ms);
  }
  if (found === 0) throw new Error('no PASID was held at any call that was asked for');
  return [
    against('audit-build', nsPerCall(build, calls), 'ns/call', replay),
    result('audit-holder-at-slowest', slowest, 'ms'),
  ];
}
