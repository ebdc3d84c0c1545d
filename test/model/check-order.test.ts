import { describe, expect, test } from 'vitest';
import { applyCall } from '../../replay/index.ts';
import { allReasons, CHECK_ORDER, execute, markChecks, planChecks } from '../../src/model/index.ts';
import { IOMMUFD_IOCTLS } from '../../src/uapi/index.ts';
import { everyTrace, runEach } from '../support/every-call.ts';

const IDS = new Set(allReasons().map(({ id }) => id));
const LISTED = new Set(Object.values(CHECK_ORDER).flatMap((checks) => checks.map(({ id }) => id)));
/** Refusals in all traces, as counted by grep: a sweep of nothing would be worth nothing. */
const LEAST_REFUSALS = 54_000;

describe('the order of checks', () => {
  test('names only reasons that there are', () => {
    expect([...LISTED].filter((id) => !IDS.has(id))).toEqual([]);
  });

  test('has a place for every reason', () => {
    expect([...IDS].filter((id) => !LISTED.has(id))).toEqual([]);
  });

  test('is there for every command of iommufd', () => {
    expect(IOMMUFD_IOCTLS.map(({ name }) => name).filter((name) => !(name in CHECK_ORDER))).toEqual([]);
  });

  test('tells checks of the same reason apart wherever they are on one way', () => {
    const unclear = Object.entries(CHECK_ORDER).flatMap(([command, checks]) =>
      checks
        .filter(({ when }) => when.length === 0)
        .map(({ id, at }) => `${command}: ${id} ${at ?? ''}`)
        .filter((check, index, all) => all.indexOf(check) !== index),
    );
    expect(unclear).toEqual([]);
  });

  test('has every refusal in all traces, on the way that the call takes', () => {
    let refusals = 0;
    const strange = new Set<string>();
    for (const trace of everyTrace()) {
      runEach(trace, (kernel, call) => {
        // What is answered otherwise than recorded is told by other tests: replays of these traces.
        const isRefused = 'errno' in call && call.errno !== 0;
        let plan = isRefused ? planChecks(kernel, call) : null;
        // A limit that the reply told is known when the call is asked again: then there are checks of it.
        const { reason } = applyCall(kernel, call, () => {
          if (isRefused) plan = planChecks(kernel, call);
          return execute(kernel, call);
        }).reply;
        if (reason === null || !isRefused) return;
        refusals += 1;
        const marks = plan === null ? [] : markChecks(plan, reason);
        const refused = marks.filter(({ status }) => status === 'refused');
        if (refused.length === 1 && refused[0]!.id === reason.id) return;
        const found = marks.filter(({ id }) => id === reason.id).map(({ status }) => status);
        strange.add(`${plan?.command}: ${reason.id} [${found}] ${trace.folder}/${trace.name} ${call.seq}`);
      });
    }
    expect([...strange]).toEqual([]);
    expect(refusals).toBeGreaterThan(LEAST_REFUSALS);
  });
});
