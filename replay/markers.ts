import type { Store } from '../store/index.ts';

/**
 * Number of the first marker note with a text; the text that scenario programs give to a dump may do without
 * its first word, `dump`. Null when there is none.
 */
export function findMarker(store: Store, traceId: number, text: string): number | null {
  let exact: number | null = null;
  let dump: number | null = null;
  store.readCalls(traceId, {}, (call) => {
    if (call.op !== 'note' || call.kind !== 'marker') return undefined;
    if (call.fields['text'] === text) exact ??= call.seq;
    else if (call.fields['text'] === `dump ${text}`) dump ??= call.seq;
    return exact === null;
  });
  return exact ?? dump;
}
