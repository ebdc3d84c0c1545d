import type { Call, TraceHeader } from '../../src/trace/index.ts';
import { openTemporaryStore, type Store } from '../../store/index.ts';

/** Something to put into a store: a capture, or calls made by a test. */
export interface Recording {
  readonly header: TraceHeader;
  readonly calls: readonly Call[];
}

/** Runs `use` on a temporary store that holds the recording as one sealed trace, appended in batches. */
export function withStored<T>(
  { header, calls }: Recording,
  use: (store: Store, traceId: number) => T,
  batchCalls = 4096,
): T {
  const store = openTemporaryStore();
  try {
    const writer = store.beginTrace({ name: 'test', header });
    for (let at = 0; at < calls.length; at += batchCalls) writer.append(calls.slice(at, at + batchCalls));
    writer.seal();
    return use(store, writer.traceId);
  } finally {
    store.close();
  }
}
