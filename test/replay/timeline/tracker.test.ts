import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodePoint, encodePoint } from '../../../replay/timeline/codec.ts';
import { addUp, createHardwareSum, followEntries } from '../../../replay/timeline/hardware-sum.ts';
import { sumText } from '../../../replay/timeline/hash.ts';
import { createLineage, followGraph } from '../../../replay/timeline/lineage.ts';
import { createStepper, type Stepper, type StepperStart } from '../../../replay/timeline/stepper.ts';
import { newTrackerState, type Tracker } from '../../../replay/timeline/tracker.ts';
import {
  chooseProfile,
  createKernel,
  type Kernel,
  machineOf,
  serializeKernel,
} from '../../../src/model/index.ts';
import type { Store, TraceInfo } from '../../../store/index.ts';
import type { TraceName } from '../../support/every-call.ts';
import { readFixture } from '../../support/fixtures.ts';
import { seedOf, tracesByFolder } from '../../support/folders.ts';
import { withStored } from '../../support/stored.ts';

/** What is tracked beside the model, over all recorded traces. */

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');
const NOTHING_GONE: ReadonlySet<string> = new Set();

/** Runs a test on a stored trace and a stepper at its start. */
function withTrace(
  { folder, name }: TraceName,
  use: (store: Store, trace: TraceInfo, start: () => StepperStart) => void,
): void {
  const capture = readFixture(name, join(FIXTURES, folder));
  withStored(capture, (store, traceId) => {
    const trace = store.findTrace(traceId)!;
    const { header } = trace;
    const start = (): StepperStart => {
      const { profile } = chooseProfile(header.kernel, header.pageSizeBytes);
      const isType1 = header.quirks.some((quirk) => quirk.includes('vfio-container=type1'));
      const kernel = createKernel(profile, !isType1, undefined, machineOf(header));
      return { kernel, state: newTrackerState(), seq: -1 };
    };
    use(store, trace, start);
  });
}

/** The sum over the hardware, from nothing but the state. */
function sumAnew(kernel: Kernel, { columns }: Tracker): string {
  const hardware = createHardwareSum();
  followEntries(hardware, kernel);
  addUp(hardware, (space) => columns.get(space)?.content ?? null);
  return sumText(hardware.now);
}

function everything({ kernel, tracker }: Stepper): unknown {
  const { lineage, hardware, changes, chain } = tracker;
  return {
    state: Buffer.from(serializeKernel(kernel)).toString('latin1'),
    nodes: new Map(lineage.nodes),
    edges: lineage.edges,
    hardware: sumText(hardware.now),
    changes,
    chain: sumText(chain),
    point: Buffer.from(encodePoint(kernel, tracker)).toString('latin1'),
  };
}

describe('a tracker', () => {
  test.each(tracesByFolder())(
    'of traces of %s that skips what a call can not reach misses nothing',
    (_, traces) => {
      for (const each of traces) {
        withTrace(each, (store, trace, start) => {
          const { kernel, tracker, advance } = createStepper(store, trace, start());
          const full = createLineage();
          let count = 0;
          advance(Number.MAX_SAFE_INTEGER, (call) => {
            count += 1;
            // Long traces are looked at here and there.
            if (count > 60 && count % 53 !== 0) return;
            followGraph(full, kernel, call.seq, NOTHING_GONE);
            const at = `${each.name} after call ${call.seq}`;
            if (!isSame(full.nodes.keys(), tracker.lineage.nodes.keys()))
              expect([...tracker.lineage.nodes.keys()].sort(), at).toEqual([...full.nodes.keys()].sort());
            if (!isSame(edgesOf(full.edges), edgesOf(tracker.lineage.edges)))
              expect([...edgesOf(tracker.lineage.edges)].sort(), at).toEqual([...edgesOf(full.edges)].sort());
            if (sumAnew(kernel, tracker) !== sumText(tracker.hardware.now)) expect.fail(`${at}: another sum`);
          });
        });
      }
    },
  );

  test.each(tracesByFolder())('of traces of %s goes on from a point as if it never stopped', (_, traces) => {
    // One in four, and another one for each folder of few.
    for (const each of traces.filter(({ name }, at) => at === 0 || seedOf(name) % 4 === 0)) {
      withTrace(each, (store, trace, start) => {
        const { callCount, firstSeq, lastSeq } = trace;
        const straight = createStepper(store, trace, start());
        straight.advance(lastSeq!);
        const cut = firstSeq! + (seedOf(each.name) % Math.max(1, callCount));
        const first = createStepper(store, trace, start());
        first.advance(cut);
        const { kernel, state } = decodePoint(
          encodePoint(first.kernel, first.tracker),
          first.kernel.profile,
          first.kernel.machine,
        );
        const second = createStepper(store, trace, { kernel, state, seq: cut });
        second.advance(lastSeq!);
        expect(everything(second), `${each.name} cut after ${cut}`).toEqual(everything(straight));
      });
    }
  });
});

function isSame(one: Iterable<string>, other: Iterable<string>): boolean {
  const [a, b] = [new Set(one), new Set(other)];
  return a.size === b.size && [...a].every((key) => b.has(key));
}

function* edgesOf(edges: ReadonlyMap<string, ReadonlyMap<string, number>>): Generator<string> {
  for (const [from, own] of edges) for (const key of own.keys()) yield `${from} ${key}`;
}
