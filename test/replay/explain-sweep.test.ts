import { describe, expect, test } from 'vitest';
import { applyCall, explainAt } from '../../replay/index.ts';
import { holdersOf, type Kernel, remediedIds } from '../../src/model/index.ts';
import { everyTrace, runEach } from '../support/every-call.ts';

/** Refused calls in all traces, and different reasons: a sweep of nothing would be worth nothing. */
const LEAST_REFUSALS = 54_000;
const LEAST_REASONS = 200;
/**
 * Calls of which the state says no more than the reason: addresses that stand for the n-th area, and VFIO
 * commands that iommufd never had.
 */
const SILENT = ['command-unknown', 'copy-source-not-mapped', 'hole-in-range'];

/** Calls whose refusal has a reason; what fails of others is taken as recorded. */
const EXPLAINED: ReadonlySet<string> = new Set(['ioctl', 'read', 'write', 'pread', 'pwrite']);
/** Of more than 54 000 refusals: what vfio-pci can not tell of hardware yet, and limits on locked memory. */
const MOST_UNKNOWN = 200;

interface Sweep {
  unknown: number;
  readonly reasons: Map<string, number>;
  readonly wrong: string[];
  readonly silent: Set<string>;
  readonly miscounted: Set<string>;
}

/** Explains every refused call of all traces; the others are only run. */
function sweep(): Sweep {
  const found: Sweep = {
    reasons: new Map(),
    wrong: [],
    silent: new Set(),
    miscounted: new Set(),
    unknown: 0,
  };
  const remedied = new Set(remediedIds());
  for (const { folder, name } of everyTrace()) {
    runEach({ folder, name }, (kernel, call) => {
      if (!('errno' in call) || call.errno === 0 || !EXPLAINED.has(call.op)) {
        applyCall(kernel, call);
        return;
      }
      const where = `${folder}/${name} ${call.seq}`;
      for (const text of miscounted(kernel)) found.miscounted.add(`${text} before ${where}`);
      const { modelled, errno, reason, refusal, checks, divergence } = explainAt(kernel, call);
      if (!modelled) {
        found.unknown += 1;
        return;
      }
      if (reason === null || refusal === null || errno !== call.errno || divergence !== null) {
        found.wrong.push(where);
        return;
      }
      found.reasons.set(reason.id, (found.reasons.get(reason.id) ?? 0) + 1);
      const refused = checks.filter(({ status }) => status === 'refused').map(({ id }) => id);
      if (refused.length !== 1 || refused[0] !== reason.id) found.wrong.push(`${where}: ${refused}`);
      if (refusal.cause === '' || refusal.cure === '') found.wrong.push(`${where}: no advice`);
      if (remedied.has(reason.id) && refusal.findings.length === 0) found.silent.add(reason.id);
    });
  }
  return found;
}

/** The kernel itself warns of this device, and leaks it: its PASID is attached when the mock device goes. */
const LOST = /^device 3 with 2 users before lint\/pasid-free-while-attached-bad /;

/** Objects whose holders are not as many as their users besides the table of ids. */
function miscounted(kernel: Kernel): string[] {
  return Object.values(kernel.state.contexts).flatMap((context) =>
    Object.values(context.objects)
      .filter((object) => holdersOf({ kernel }, context, object).length !== object.users - 1)
      .map((object) => `${object.type} ${object.id} with ${object.users} users`),
  );
}

describe('explaining every refused call of all traces', () => {
  const { reasons, wrong, silent, miscounted: odd, unknown } = sweep();

  test('yields the reason, with advice and the one check that refused', () => {
    expect(wrong).toEqual([]);
  });

  test('says from the state what stood in the way, where it can', () => {
    expect([...silent].sort()).toEqual(SILENT);
  });

  test('knows every holder of every object', () => {
    expect([...odd].filter((what) => !LOST.test(what))).toEqual([]);
  });

  test('looks at many refusals of many reasons', () => {
    const refusals = [...reasons.values()].reduce((sum, count) => sum + count, 0);
    expect(refusals).toBeGreaterThan(LEAST_REFUSALS);
    expect(reasons.size).toBeGreaterThan(LEAST_REASONS);
    expect(unknown).toBeLessThan(MOST_UNKNOWN);
  });
});
