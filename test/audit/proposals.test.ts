import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  buildPasidHistory,
  createPasidHistory,
  findEvents,
  findHolders,
  findScopes,
  findTenures,
  watchProposal,
} from '../../src/audit/index.ts';
import { execute, type Kernel } from '../../src/model/index.ts';
import type { Store } from '../../store/index.ts';
import { EXAMPLE_NAMES, kernelFor, readExample } from '../support/proposal-examples.ts';
import { withStored } from '../support/stored.ts';

/** The PASID history of the worked examples: as golden files, and against the core's own account of it. */

const ALL = Number.MAX_SAFE_INTEGER;
const dash = (value: string | number | null): string | number => value ?? '-';

/** The whole history as lines. */
function textOf(store: Store): string {
  const events = findEvents(store, 'test', {}, ALL).rows.map(
    (row) =>
      `${row.seq} ${row.scope_kind} ${row.scope || '-'} PASID ${row.pasid}: ${row.what} by ${row.call}` +
      `, vpasid ${dash(row.vpasid)}, ${dash(row.function)} ioas ${dash(row.ioas)}` +
      `, context ${row.context}, ${dash(row.vm)}, holder ${dash(row.tenure)}, ${dash(row.reason)}`,
  );
  const tenures = findTenures(store, 'test', {}, 'all', ALL).rows.map(
    (row) =>
      `holder ${row.tenure}: process ${row.pid} has PASID ${row.pasid} (${dash(row.vpasid)}) of set ` +
      `${dash(row.set_name)} from ${row.from_seq} to ${dash(row.to_seq)}, after ${dash(row.previous)} ` +
      `(${dash(row.reuse_calls)} calls, flushed by ${dash(row.reuse_flush)}), ` +
      `${row.faults_read} of ${row.faults_reported} faults read`,
  );
  const scopes = findScopes(store, 'test').map(
    (row) =>
      `${row.kind} ${row.scope || '-'}: ${row.tenures} in all, ${row.held} held, at most ${row.high_water} ` +
      `(call ${dash(row.high_water_seq)}), quota ${dash(row.quota)}, ${row.refused} refused`,
  );
  return [...events, ...tenures, ...scopes].map((line) => `${line}\n`).join('');
}

/** Numbers that the core has given out, and those of guests that are attached: `scope number`. */
function heldIn(kernel: Kernel): string[] {
  const { proposal } = kernel.state;
  if (proposal === undefined) return [];
  const given = Object.entries(proposal.core.spaces).flatMap(([scope, { ids }]) =>
    Object.keys(ids).map((id) => `${scope} ${id}`),
  );
  const tracked = Object.values(proposal.files)
    .flatMap(({ spaces }) => Object.values(spaces).flatMap(({ devices }) => Object.values(devices)))
    .flatMap((on) => [on.default, ...Object.values(on.byPasid)])
    .filter((attachment) => attachment !== null)
    .filter(({ host, guest }) => host === null && guest !== null)
    .map(({ slot, guest }) => `function ${slot.split('/')[0]} ${guest}`);
  return [...new Set([...given, ...tracked])].sort();
}

describe('the history of a worked example', () => {
  test.each(EXAMPLE_NAMES)('of %s is that of its golden file', async (name) => {
    const golden = join(import.meta.dirname, '../golden/audit/proposal', `${name}.txt`);
    await withStored(readExample(name), async (store, traceId) => {
      expect(buildPasidHistory(store, traceId).diverged).toBe(0);
      const text = textOf(store);
      buildPasidHistory(store, traceId, { force: true });
      expect(textOf(store)).toBe(text);
      await expect(text).toMatchFileSnapshot(golden);
    });
  });

  test.each(EXAMPLE_NAMES)('of %s names after each call the holders that the core has', (name) => {
    const recording = readExample(name);
    withStored(recording, (store, traceId) => {
      buildPasidHistory(store, traceId);
      const kernel = kernelFor(recording);
      for (const call of recording.calls) {
        execute(kernel, call);
        const holders = findHolders(store, traceId, call.seq).map(
          (row) => `${[row.scope_kind, row.scope].join(' ').trim()} ${row.pasid}`,
        );
        expect([...new Set(holders)].sort(), `after call ${call.seq}`).toEqual(heldIn(kernel));
      }
    });
  });

  test('comes the same whether it is told while the calls run or from the log', () => {
    for (const name of EXAMPLE_NAMES) {
      const recording = readExample(name);
      const events: string[] = [];
      const history = createPasidHistory({
        event: ({ seq, what, pasid, tenure }) => void events.push(`${seq} ${what} ${pasid} ${tenure}`),
        tenure: () => {},
        attachment: () => {},
        scope: () => {},
      });
      const kernel = kernelFor(recording);
      const watcher = watchProposal(kernel, history);
      kernel.effects = watcher.effects;
      for (const call of recording.calls) {
        watcher.before(call);
        execute(kernel, call);
        watcher.after(call);
      }
      history.finish();
      const stored = withStored(recording, (store, traceId) => {
        buildPasidHistory(store, traceId);
        return [...findEvents(store, 'test', {}, ALL).rows];
      });
      const inOrder = stored
        .sort((a, b) => a.event - b.event)
        .map(({ seq, what, pasid, tenure }) => `${seq} ${what} ${pasid} ${tenure}`);
      expect(events, name).toEqual(inOrder);
    }
  });
});
