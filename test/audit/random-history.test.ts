import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildPasidHistory, createPasidHistory, findHolders, watchIommufd } from '../../src/audit/index.ts';
import { chooseProfile, createKernel, execute } from '../../src/model/index.ts';
import { type Call, EMPTY_HEADER } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_TEST_CMD,
  IOMMU_TEST_DEVICE_FLAGS,
  IOMMU_TEST_OP,
  unionOffsetsOf,
} from '../../src/uapi/index.ts';
import { type Session, startSession, u32At } from '../support/session.ts';
import { withStored } from '../support/stored.ts';

/**
 * Random attachments of PASIDs. Who holds what is kept here from the answers alone, and compared with the
 * history after every call; the history that is told while the calls run is that of the log.
 */

const RUNS = 60;
const FD = 3;
const MADE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS);
const HWPT_PASID = 8;

type Step = {
  readonly op: 'attach' | 'replace' | 'detach' | 'destroy' | 'reopen';
  readonly device: number;
  readonly pasid: number;
  readonly table: number;
};

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.oneof(
    { weight: 8, arbitrary: fc.constant('attach' as const) },
    { weight: 4, arbitrary: fc.constant('replace' as const) },
    { weight: 6, arbitrary: fc.constant('detach' as const) },
    { weight: 1, arbitrary: fc.constant('destroy' as const) },
    { weight: 1, arbitrary: fc.constant('reopen' as const) },
  ),
  device: fc.nat({ max: 1 }),
  pasid: fc.integer({ min: 1, max: 3 }),
  table: fc.nat({ max: 2 }),
});

interface World {
  /** Selftest objects and page tables that the calls name; the last table allows no PASID. */
  readonly devices: number[];
  readonly tables: number[];
}

function openWorld(session: Session): World {
  session.open(FD);
  session.ioctl(FD, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  const devices: number[] = [];
  const tables: number[] = [];
  for (let made = 0; made < 2; made += 1) {
    const dev_flags = IOMMU_TEST_DEVICE_FLAGS.PASID;
    const { out } = session.selftest(FD, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS, 1, { dev_flags });
    devices.push(u32At(out, MADE.out_stdev_id));
    const dev_id = u32At(out, MADE.out_idev_id);
    const flags = HWPT_PASID;
    const fields = { flags, dev_id, pt_id: 1 };
    const table = session.ioctl(FD, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, fields));
    tables.push(u32At(table.out, 16));
    session.selftest(FD, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, devices[made]!, { pt_id: tables[made]! });
  }
  const plain = { flags: 0, dev_id: devices[0]! + 1, pt_id: 1 };
  const table = session.ioctl(FD, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, plain));
  tables.push(u32At(table.out, 16));
  return { devices, tables };
}

/** After each call, by its number: `<device> <pasid>` to the page table, as the answers tell. */
type Held = ReadonlyMap<string, number>;

function run(steps: readonly Step[]): { readonly calls: readonly Call[]; readonly held: readonly Held[] } {
  const session = startSession(createKernel(chooseProfile('7.3', 4096).profile));
  let world = openWorld(session);
  const now = new Map<string, number>();
  const held: Held[] = [];
  for (const { op, device, pasid, table } of steps) {
    const id = world.devices[device]!;
    const pt_id = world.tables[table]!;
    const key = `${id} ${pasid}`;
    if (op === 'attach' || op === 'replace') {
      const which = op === 'attach' ? IOMMU_TEST_OP.PASID_ATTACH : IOMMU_TEST_OP.PASID_REPLACE;
      if (session.selftest(FD, which, id, { pasid, pt_id }).errno === 0) now.set(key, pt_id);
    } else if (op === 'detach') {
      if (session.selftest(FD, IOMMU_TEST_OP.PASID_DETACH, id, { pasid }).errno === 0) now.delete(key);
    } else if (op === 'destroy') {
      // The kernel leaks a mock device that still holds a PASID: what it holds stays held.
      session.ioctl(FD, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id }));
    } else {
      session.close(FD);
      world = openWorld(session);
      // Ids are used again: what leaked is told apart by the number of the open.
      for (const [leaked, hwpt] of [...now]) {
        now.delete(leaked);
        now.set(`gone ${held.length} ${leaked}`, hwpt);
      }
    }
    held[session.calls.length - 1] = new Map(now);
  }
  return { calls: session.calls, held };
}

/** The same calls to a kernel that is watched while it runs. */
function watchLive(calls: readonly Call[]): string[] {
  const rows: string[] = [];
  const keep = (kind: string) => (row: object) => rows.push(textOf(kind, row));
  const history = createPasidHistory({
    scope: keep('scope'),
    tenure: keep('tenure'),
    attachment: keep('attachment'),
    event: keep('event'),
  });
  const kernel = createKernel(chooseProfile('7.3', 4096).profile);
  const watcher = watchIommufd(kernel, history);
  kernel.effects = watcher.effects;
  for (const call of calls) {
    watcher.before(call);
    execute(kernel, call);
    watcher.after(call);
  }
  history.finish();
  return rows.sort();
}

/** A row whatever the order of its columns. */
function textOf(table: string, row: object): string {
  return `${table} ${JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}

const TABLES = ['scope', 'tenure', 'attachment', 'event'];

describe('a random history', () => {
  test('has one holder for each PASID, as the answers tell, and comes the same from the log', () => {
    let heldSteps = 0;
    const check = (steps: readonly Step[]): void => {
      const { calls, held } = run(steps);
      const header = { ...EMPTY_HEADER, kernel: '7.3.0-rc7' };
      withStored({ header, calls }, (store, traceId) => {
        buildPasidHistory(store, traceId);
        held.forEach((expected, seq) => {
          const holders = findHolders(store, traceId, seq);
          expect(holders.map(({ hwpt }) => hwpt).sort()).toEqual([...expected.values()].sort());
          // One number of one function is in one hand.
          expect(new Set(holders.map(({ scope, pasid }) => `${scope} ${pasid}`)).size).toBe(holders.length);
          for (const pasid of [1, 2, 3]) {
            const one = findHolders(store, traceId, seq, { pasid });
            expect(one).toEqual(holders.filter((holder) => holder.pasid === pasid));
          }
          heldSteps += expected.size;
        });
        const stored = TABLES.flatMap((table) =>
          store
            .query(`SELECT * FROM pasid_${table}`)
            .map(({ trace: _, node: __, ...row }) => textOf(table, row)),
        );
        expect(stored.sort()).toEqual(watchLive(calls));
        expect(overlaps(store.query.bind(store))).toEqual([]);
      });
    };
    fc.assert(fc.property(fc.array(step, { minLength: 25, maxLength: 40 }), check), {
      numRuns: RUNS,
      seed: 20261120,
    });
    // The runs do get somewhere.
    expect(heldSteps).toBeGreaterThan(RUNS * 10);
  });
});

/** Two spans of one PASID of one function that are open at the same time. */
function overlaps(query: (sql: string) => readonly object[]): readonly object[] {
  return query(
    `SELECT one.attachment FROM pasid_attachments AS one JOIN pasid_attachments AS other
     ON other.trace = one.trace AND other.function = one.function AND other.pasid = one.pasid
       AND other.attachment > one.attachment
     WHERE one.to_seq IS NULL OR other.from_seq < one.to_seq`,
  );
}
