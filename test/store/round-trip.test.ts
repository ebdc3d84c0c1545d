import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Call, EMPTY_HEADER, readCapture } from '../../src/trace/index.ts';
import { openStore, openTemporaryStore, type Store, type TraceWriter } from '../../store/index.ts';
import { callList } from '../trace/random-call.ts';
import { SHARED_TRACES, sharedTraces } from '../trace/shared-traces.ts';
import { asReplayed, hotCall, hotCalls, readReplayed } from './make-calls.ts';

function storeCalls(store: Store, name: string, calls: readonly Call[], batch = 1024): number {
  const writer = store.beginTrace({ name, header: EMPTY_HEADER });
  for (let start = 0; start < calls.length; start += batch) writer.append(calls.slice(start, start + batch));
  return writer.seal({ skipped: {} }).id;
}

function expectSame(found: readonly Call[], wanted: readonly Call[], name: string): void {
  if (!isDeepStrictEqual(found, wanted)) expect(found, name).toEqual(wanted);
}

describe.skipIf(sharedTraces().length === 0)('every shared capture', () => {
  test('comes back from the store as it was read, in full and for replay', { timeout: 300_000 }, async () => {
    const store = openTemporaryStore();
    for (const name of sharedTraces()) {
      const calls: Call[] = [];
      let writer: TraceWriter | undefined;
      const summary = await readCapture(join(SHARED_TRACES, name), {
        header: (header) => {
          writer = store.beginTrace({ name, header });
        },
        calls: (batch) => {
          calls.push(...batch);
          writer!.append(batch);
        },
      });
      const { id, callCount } = writer!.seal(summary);
      expect(callCount).toBe(calls.length);
      expectSame([...store.readCallsExact(id)], calls, name);
      expectSame(readReplayed(store, id), asReplayed(calls), name);
      expect(store.verifyTrace(id), name).toMatchObject({ ok: true, callCount });
    }
    expect(store.listTraces().length).toBe(sharedTraces().length);
    store.close();
  });
});

describe('stored calls', () => {
  test('come back equal, whatever they hold', () => {
    const store = openStore(':memory:');
    let number = 0;
    fc.assert(
      fc.property(callList, fc.integer({ min: 1, max: 7 }), (calls, pageRows) => {
        const id = storeCalls(store, `t${number++}`, calls, 5);
        expect([...store.readCallsExact(id, { pageRows })]).toEqual(calls);
        expect(readReplayed(store, id, pageRows)).toEqual(asReplayed(calls));
        expect(store.verifyTrace(id)).toMatchObject({ ok: true });
      }),
      { numRuns: 300 },
    );
    store.close();
  });

  test('that fit the columns come in one object, others in objects of their own', () => {
    const store = openStore(':memory:');
    const long = { ...hotCall(2), arg: new Uint8Array(48), out: null };
    const id = storeCalls(store, 't', [...hotCalls(2), long, hotCall(3)]);
    const seen: Call[] = [];
    store.readCalls(id, {}, (call) => void seen.push(call));
    expect(seen[1]).toBe(seen[0]);
    expect(seen[3]).toBe(seen[0]);
    expect(seen[2]).not.toBe(seen[0]);
    store.close();
  });

  test('are read within a range, and until the visitor says false', () => {
    const store = openStore(':memory:');
    const id = storeCalls(store, 't', hotCalls(100));
    const seqs: number[] = [];
    const isDone = store.readCalls(
      id,
      { fromSeq: 10, toSeq: 20, pageRows: 4 },
      ({ seq }) => void seqs.push(seq),
    );
    expect(isDone).toBe(true);
    expect(seqs).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(store.readCalls(id, { fromSeq: 90 }, ({ seq }) => seq < 93)).toBe(false);
    expect([...store.readCallsExact(id, { fromSeq: 98 })].map(({ seq }) => seq)).toEqual([98, 99]);
    store.close();
  });

  test('take no more than 120 bytes each, and maps and unmaps need no JSON', () => {
    const store = openStore(':memory:');
    storeCalls(store, 't', hotCalls(20_000));
    const id = store.findTrace('t')!.id;
    expect(store.sizeBytes() / 20_000).toBeLessThan(80);
    // A row that needs JSON is decoded into an object of its own.
    const seen = new Set<Call>();
    store.readCalls(id, {}, (call) => void seen.add(call));
    expect(seen.size).toBe(1);
    store.close();
  });
});
