import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { createTranslator, lookAt, replayTrace, watchHardware } from '../replay/index.ts';
import { type Call, EMPTY_HEADER } from '../src/trace/index.ts';
import { openTemporaryStore, type Store, type TraceInfo } from '../store/index.ts';
import { deviceTrace, IOVA_PAGES, MACHINE } from './device-trace.ts';
import { against, type BenchResult, bestCpuMs, bestMs, pairedCpuMs, result } from './measure.ts';
import { createRandom } from './random.ts';

/** Cost of the hardware behind a trace: following it, looking at it, and walking its tables. */

export function measureHardware(quick: boolean, seed: number, say: (line: string) => void): BenchResult[] {
  say('hardware');
  const count = quick ? 20_000 : 100_000;
  const without = deviceTrace(seed, count, 0);
  const noted = deviceTrace(seed, count);
  return [
    ...withTrace(without, (store, trace) => measureFollowing(store, trace, without, 'replay-device')),
    ...withTrace(noted, (store, trace) => [
      ...measureFollowing(store, trace, noted, 'replay-device-noted'),
      ...measureWalks(store, trace, quick, seed),
    ]),
    measureTebibyte(),
  ];
}

function withTrace<T>(calls: readonly Call[], work: (store: Store, trace: TraceInfo) => T): T {
  const store = openTemporaryStore();
  try {
    const writer = store.beginTrace({
      name: 'hardware',
      header: { ...EMPTY_HEADER, kernel: '6.12.117', topology: MACHINE },
    });
    for (let at = 0; at < calls.length; at += 4096) writer.append(calls.slice(at, at + 4096));
    writer.seal();
    return work(store, store.findTrace(writer.traceId)!);
  } finally {
    store.close();
  }
}

const PAIRS = 9;

/** A replay that keeps what it did to the hardware, beside one that does not. */
function measureFollowing(
  store: Store,
  trace: TraceInfo,
  calls: readonly Call[],
  name: string,
): BenchResult[] {
  const plain = (): void => check(replayTrace(store, trace.id));
  const following = (): void => {
    const { watch } = watchHardware();
    check(replayTrace(store, trace.id, { watch }));
  };
  const { baseMs, otherMs, ratio } = pairedCpuMs(PAIRS, plain, following);
  const perCall = (ms: number): number => (ms * 1e6) / calls.length;
  const base = result(name, perCall(baseMs), 'ns/call');
  const looked = (bestMs(3, () => void lookAt(store, trace, null)) * 1e6) / calls.length;
  return [
    base,
    { ...against(`${name}-hardware`, perCall(otherMs), 'ns/call', base), ratio },
    result(`${name}-look-at-end`, looked, 'ns/call'),
  ];
}

function check({ diverged }: { readonly diverged: number }): void {
  if (diverged !== 0) throw new Error(`${diverged} calls diverged`);
}

/** Translations in bulk, of addresses that are mapped and that are not; a lookup in a Map beside it. */
function measureWalks(store: Store, trace: TraceInfo, quick: boolean, seed: number): BenchResult[] {
  const view = lookAt(store, trace, trace.lastSeq === null ? null : Math.floor(trace.lastSeq * 0.9));
  const slot = view.slots.find(({ state }) => state.kind === 'paging');
  const domain = view.domains[0];
  if (slot === undefined || domain?.table == null) throw new Error('the trace left no domain attached');
  const { table } = domain;
  const translate = createTranslator(view, slot);
  const random = createRandom(seed);
  const count = quick ? 200_000 : 1_000_000;
  const pages = Float64Array.from({ length: count }, () => random.below(IOVA_PAGES));
  const iovas = Array.from(pages, (page) => BigInt(page) * 4096n + 8n);
  const plain = new Map<number, number>();
  for (const page of pages) {
    const { frame } = table.walk(page, 'r');
    if (frame !== null) plain.set(page, frame);
  }
  let found = 0;
  const perWalk = (work: () => void): number => (bestCpuMs(3, work) * 1e6) / count;
  const map = result(
    'map-lookup',
    perWalk(() => {
      for (const page of pages) if (plain.has(page)) found += 1;
    }),
    'ns',
  );
  const walk = perWalk(() => {
    for (const page of pages) if (table.walk(page, 'r').fault === null) found -= 1;
  });
  const translated = perWalk(() => {
    for (const iova of iovas) if (translate(iova, 'r').outcome === 'page') found += 1;
  });
  if (found <= 0) throw new Error('the walks disagree with the map');
  return [map, against('walk', walk, 'ns', map), against('translate', translated, 'ns', map)];
}

/** Memory for 1 TiB of which each page is an area of its own size: measured in a process of its own. */
function measureTebibyte(): BenchResult {
  const script = join(import.meta.dirname, 'tebibyte-memory.js');
  const output = execFileSync(process.execPath, ['--expose-gc', script], { encoding: 'utf8' });
  return result('memory-of-1tib-mapped', Number(output) / 1e6, 'MB');
}
