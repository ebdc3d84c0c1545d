import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  buildPasidHistory,
  findEvents,
  findHolders,
  findScopes,
  findTenures,
} from '../../src/audit/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { openStore, type Store } from '../../store/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { withStored } from '../support/stored.ts';
import { HARDWARE, openAuditStore, PASID_SELFTEST, SELFTESTS_73 } from './audit-database.ts';

const ALL = Number.MAX_SAFE_INTEGER;
let store: Store;
beforeAll(() => {
  store = openAuditStore();
});
afterAll(() => store.close());

const idOf = (name: string): number => store.findTrace(name)!.id;

describe('who held what in the recorded scenario of VT-d', () => {
  // The markers of the capture name the same: "pasid 70 hwpt2 rc=0", "replace pasid 1 by hwpt1 rc=0" …
  test.each([
    ['nothing before the first attachment', 40, {}, []],
    ['PASID 1 once it is attached', 41, {}, [[1, 6, 3]]],
    ['nothing more after an attachment of the same table', 43, {}, [[1, 6, 3]]],
    ['PASID 5 on the other address space', 45, { pasid: 5 }, [[5, 5, 2]]],
    ['not PASID 6, whose table allows none', 47, { pasid: 6 }, []],
    ['PASID 1 before it is replaced', 68, { pasid: 1 }, [[1, 6, 3]]],
    ['PASID 1 after it was replaced', 69, { pasid: 1 }, [[1, 5, 2]]],
    ['not PASID 1 after its detachment', 72, { pasid: 1 }, []],
    [
      'what the last detachments leave',
      84,
      {},
      [
        [70, 6, 3],
        [4095, 6, 3],
        [0xfffff, 6, 3],
        [0x100000, 6, 3],
      ],
    ],
    ['nothing once the device is closed', 85, {}, []],
    ['the second device, by address', 132, { device: '0000:00:03.0', pasid: 5 }, [[5, 5, 2]]],
    ['the second device, without the PCI domain', 132, { device: '00:03.0', pasid: 5 }, [[5, 5, 2]]],
    ['not the first device any more', 132, { device: '0000:00:02.0' }, []],
    ['a device by its object', 132, { device: '1', pasid: 5 }, [[5, 5, 2]]],
    ['not of another process', 132, { pid: 1 }, []],
  ] as const)('%s', (_, at, filter, expected) => {
    const holders = findHolders(store, idOf('edu'), at, filter);
    expect(holders.map(({ pasid, hwpt, ioas }) => [pasid, hwpt, ioas])).toEqual(expected);
  });

  test('is told with function, process, descriptor and calls', () => {
    const [tenure] = findTenures(store, 'edu', { pasid: 70 }, 'all', 1).rows;
    expect(tenure).toMatchObject({
      ...{
        generation: 'iommufd',
        scope_kind: 'function',
        scope: '0000:00:02.0',
        context: 1,
        pid: 249,
        fd: 5,
      },
      ...{ from_seq: 49, from_call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', to_seq: 85, to_call: 'close' },
      ...{ previous: null, orphan_seq: null, from_ns: null, reuse_ns: null },
    });
  });

  test('leaks only where the recording was cut', () => {
    expect(findTenures(store, 'edu', {}, 'leaked', ALL).count).toBe(0);
    const { count, rows } = findTenures(store, 'cut', {}, 'leaked', 2);
    expect([count, rows.length]).toEqual([6, 2]);
  });
});

describe('what happened in the recorded selftest', () => {
  const told = (pasid: number): string[] =>
    findEvents(store, 'selftest', { pasid }, ALL).rows.map(
      ({ seq, what, hwpt, reason }) => `${seq} ${what} ${reason ?? hwpt}`,
    );

  test.each([
    [
      200,
      [
        '106 refuse replace-not-attached',
        '107 attach 12',
        '109 refuse hwpt-not-pasid-compatible',
        '111 replace 6',
        '113 replace 7',
        '115 detach 7',
      ],
    ],
    [1024, ['116 attach 12', '118 refuse mock-pasid-fails', '120 detach 12']],
    [
      2048,
      [
        '121 attach 9',
        '123 fault 0',
        '124 fault-read 0',
        '125 fault-answer success',
        '126 replace 12',
        '128 detach 12',
      ],
    ],
  ])('to PASID %d', (pasid, expected) => {
    expect(told(pasid)).toEqual(expected);
  });

  test('PASID 100 is handed out again twice, flushed by the kernel', () => {
    const reused = findTenures(store, 'selftest', {}, 'reused', ALL).rows;
    expect(
      reused.map(({ pasid, previous, reuse_calls, reuse_flush }) => [
        pasid,
        previous,
        reuse_calls,
        reuse_flush,
      ]),
    ).toEqual([
      [100, 1, 6, 'kernel'],
      [100, 2, 2, 'kernel'],
    ]);
    expect(findTenures(store, 'selftest', {}, 'reused-unflushed', ALL).count).toBe(0);
  });

  test('its marks', () => {
    expect(
      findScopes(store, 'selftest').map(({ kind, scope, tenures, high_water, refused }) => [
        kind,
        scope,
        tenures,
        high_water,
        refused,
      ]),
    ).toEqual([
      ['system', '', 6, 1, 8],
      ['function', 'mock-1', 6, 1, 8],
      ['process', '2557', 6, 1, 8],
    ]);
  });
});

const TABLES = ['pasid_scope', 'pasid_tenure', 'pasid_attachment', 'pasid_event'];

function dump(from: Store): string {
  return TABLES.map((table) => JSON.stringify(from.query(`SELECT * FROM ${table}`))).join('\n');
}

describe('the tables', () => {
  test('are the same however the log was batched and how often they are built', () => {
    const capture = readFixture(PASID_SELFTEST, SELFTESTS_73);
    const dumps = [1, 7, 4096].map((batch) =>
      withStored(
        capture,
        (temporary, traceId) => {
          buildPasidHistory(temporary, traceId);
          const first = dump(temporary);
          buildPasidHistory(temporary, traceId, { force: true });
          expect(dump(temporary)).toBe(first);
          return first;
        },
        batch,
      ),
    );
    expect(new Set(dumps).size).toBe(1);
    expect(dumps[0]!.length).toBeGreaterThan(2000);
  });

  test('are kept by the store, and built again only for another kernel or on demand', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasis-audit-'));
    try {
      const path = join(folder, 'kept.db');
      const capture = readFixture(PASID_SELFTEST, SELFTESTS_73);
      const first = openStore(path);
      const writer = first.beginTrace({ name: 'kept', header: capture.header });
      writer.append(capture.calls);
      writer.seal();
      const build = (to: Store, more: { kernel?: string; force?: boolean } = {}) =>
        buildPasidHistory(to, writer.traceId, { ...more, onProgress: () => {} });
      const made = build(first);
      const rows = dump(first);
      first.close();
      const again = openStore(path);
      expect(again.findAuditBuild(writer.traceId)).toEqual(made);
      expect(dump(again)).toBe(rows);
      // Nothing is built when it is there: rows that were taken away stay away.
      again.rebuildAudit(writer.traceId, () => made);
      build(again);
      expect(again.query('SELECT count(*) AS n FROM pasid_event')).toEqual([{ n: 0 }]);
      build(again, { force: true });
      expect(dump(again)).toBe(rows);
      // A kernel without PASIDs of iommufd refuses them all.
      expect(build(again, { kernel: '6.12' }).diverged).toBeGreaterThan(0);
      expect(again.query(`SELECT count(*) AS n FROM pasid_tenure`)).toEqual([{ n: 0 }]);
      again.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('have times where the capture has them', () => {
    const { header, calls } = readFixture(PASID_SELFTEST, SELFTESTS_73);
    const timed = calls.map((call): Call => ({ ...call, tNs: call.seq * 1000 }));
    withStored({ header, calls: timed }, (temporary, traceId) => {
      buildPasidHistory(temporary, traceId);
      const [, , third] = findTenures(temporary, 'test', { pasid: 100 }, 'all', ALL).rows;
      expect(third).toMatchObject({ from_ns: 102_000, to_ns: 105_000, reuse_ns: 2000, reuse_calls: 2 });
      expect(findEvents(temporary, 'test', {}, 1).rows[0]).toMatchObject({ seq: 87, t_ns: 87_000 });
    });
  });

  test('of every recorded trace of 7.3 have one holder for a PASID at most', () => {
    let tenures = 0;
    for (const folder of [HARDWARE, SELFTESTS_73]) {
      for (const name of fixtureNames(folder).filter((found) => /pasid|viommu|iopf/.test(found))) {
        withStored(readFixture(name, folder), (temporary, traceId) => {
          buildPasidHistory(temporary, traceId);
          tenures += findTenures(temporary, 'test', {}, 'all', 0).count;
          const doubles = temporary.query(
            `SELECT 1 FROM pasid_tenure AS one JOIN pasid_tenure AS other
             ON other.scope = one.scope AND other.pasid = one.pasid AND other.tenure > one.tenure
             WHERE one.to_seq IS NULL OR other.from_seq < one.to_seq`,
          );
          expect(doubles).toEqual([]);
        });
      }
    }
    expect(tenures).toBeGreaterThan(30);
  });
});
