import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createResourceTracker, type IoctlCall, sitesOf, valueAt } from '../../../src/trace/index.ts';
import { everyTrace } from '../../support/every-call.ts';
import { readFixture } from '../../support/fixtures.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
/** Every so many of the 597 traces. */
const EACH = 11;

describe('the resources of a trace', () => {
  const traces = everyTrace().filter(
    ({ folder }, index) => index % EACH === 0 && folder !== 'linux-6.12-vmm',
  );

  test('are what every number is of that a successful call names, in all recorded traces', () => {
    let named = 0;
    for (const { folder, name } of traces) {
      const tracker = createResourceTracker();
      for (const call of readFixture(name, join(FIXTURES, folder)).calls) {
        const links = tracker.next(call);
        if (call.op !== 'ioctl' || call.arg === null || !call.replied || call.ret === -1) continue;
        for (const site of sitesOf(call)) {
          const value = valueAt(call.arg, site);
          if (site.dir !== 'in' || site.role === 'iova' || site.role === 'address') continue;
          // 0 is the id of nothing, and what is negative the descriptor of nothing.
          if (value === 0n || (site.role === 'descriptor' && value > 0x7fff_ffffn)) continue;
          const at = `${folder}/${name} call ${call.seq} ${site.field}`;
          const link = links.uses.find(
            ({ place }) => place.at === 'struct' && place.site.offset === site.offset,
          );
          expect(link?.resource.recorded, at).toBe(value);
          expect(link?.resource.madeBy ?? -1, at).toBeLessThan(call.seq);
          named += 1;
        }
      }
    }
    expect(named).toBeGreaterThan(2000);
  });

  test('are others when a number is used again', () => {
    const { calls } = readFixture('seed-1', join(FIXTURES, 'linux-6.12-fuzz-mock'));
    const tracker = createResourceTracker();
    for (const call of calls) tracker.next(call);
    const ids = tracker.resources.filter(({ type }) => type === 'object').map(({ recorded }) => recorded);
    expect(ids.length).toBeGreaterThan(new Set(ids).size);
  });

  test('know on which descriptor a call is made, in each of several processes', () => {
    const { calls } = readFixture('legacy48-seed-1', join(FIXTURES, 'linux-6.12-vfio'));
    const tracker = createResourceTracker();
    const opened = new Map<number, number>();
    for (const call of calls) {
      const { uses, gives } = tracker.next(call);
      for (const { resource } of gives)
        if (resource.type === 'descriptor') opened.set(resource.index, call.pid);
      const on = uses.find(({ place }) => place.at === 'fd')?.resource;
      if (on !== undefined) expect((call as IoctlCall).fd).toBe(Number(on.recorded));
    }
    expect(new Set(opened.values()).size).toBeGreaterThan(1);
  });
});
