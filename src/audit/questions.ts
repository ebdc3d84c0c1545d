import { type EventRow, nodesAbove, type SqlValue, type Store } from '../../store/index.ts';

/** Questions to the PASID history of a trace, asked of the tables. Rows have a defined order. */

/** Which PASIDs are meant; all that are given must hold. */
export interface PasidFilter {
  readonly pasid?: number;
  /** Function (`0000:00:02.0`, `00:02.0`, `mock-3`), mediated device, or id of a device object. */
  readonly device?: string;
  /** Process that took the PASID, or acted on it. */
  readonly pid?: number;
}

/** Who holds a PASID at a moment, and one page table that it points to then. */
export interface HolderLine {
  readonly scope_kind: string;
  readonly scope: string;
  readonly pasid: number;
  readonly vpasid: number | null;
  readonly tenure: number;
  readonly generation: string;
  readonly pid: number;
  readonly fd: number | null;
  readonly context: number;
  readonly from_seq: number;
  readonly to_seq: number | null;
  readonly function: string | null;
  readonly device: number | null;
  readonly hwpt: number | null;
  readonly ioas: number | null;
}

/** A row of the view `pasid_tenures`. */
export interface TenureLine {
  readonly tenure: number;
  readonly generation: string;
  readonly scope_kind: string;
  readonly scope: string;
  readonly set_name: string | null;
  readonly pasid: number;
  readonly vpasid: number | null;
  readonly context: number;
  readonly pid: number;
  readonly fd: number | null;
  readonly from_seq: number;
  readonly from_call: string;
  readonly from_ns: number | null;
  readonly to_seq: number | null;
  readonly to_call: string | null;
  readonly to_ns: number | null;
  readonly orphan_seq: number | null;
  readonly previous: number | null;
  readonly reuse_calls: number | null;
  readonly reuse_ns: number | null;
  readonly reuse_flush: string | null;
  readonly faults_reported: number;
  readonly faults_read: number;
}

/** A row of the view `pasid_events`: the event, the name of its number space, and when it was recorded. */
export interface EventLine extends Omit<EventRow, 'scope'> {
  readonly t_ns: number | null;
  readonly scope_kind: string;
  readonly scope: string;
}

/** A row of the view `pasid_scopes`. */
export interface ScopeLine {
  readonly kind: string;
  readonly scope: string;
  readonly is_space: number;
  readonly quota: number | null;
  readonly tenures: number;
  readonly held: number;
  readonly high_water: number;
  readonly high_water_seq: number | null;
  readonly refused: number;
}

interface Where {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

/** Every tenure around a moment: those that ended later by the nodes above it, and those that never did. */
const HELD = `held (tenure) AS (
  SELECT t.tenure FROM json_each(?) AS above
  CROSS JOIN pasid_tenure AS t INDEXED BY pasid_tenure_by_node
    ON t.trace = ? AND t.node = above.value AND t.from_seq <= ? AND t.to_seq > ?
  UNION ALL
  SELECT tenure FROM pasid_tenure INDEXED BY pasid_tenure_open
  WHERE trace = ? AND to_seq IS NULL AND from_seq <= ?)`;

/** The last holder of one number in each space, however often it was handed out. */
const LAST_HELD = `held (tenure) AS (
  SELECT (SELECT tenure FROM pasid_tenure INDEXED BY pasid_tenure_by_number
    WHERE trace = s.trace AND scope = s.scope AND pasid = ? AND from_seq <= ?
    ORDER BY from_seq DESC, tenure DESC LIMIT 1)
  FROM pasid_scope AS s WHERE s.trace = ? AND s.is_space = 1)`;

/**
 * Who holds what after the call `at`. CROSS JOIN and INDEXED BY keep SQLite from going through all tenures:
 * it has no statistics of these tables.
 */
export function findHolders(
  store: Store,
  traceId: number,
  at: number,
  filter: PasidFilter = {},
): readonly HolderLine[] {
  const { sql, values } = attachmentWhere(filter);
  const [held, ids]: [string, SqlValue[]] =
    filter.pasid === undefined
      ? [HELD, [JSON.stringify(nodesAbove(at)), traceId, at, at, traceId, at]]
      : [LAST_HELD, [filter.pasid, at, traceId]];
  const rows = store.query(
    `WITH ${held}
     SELECT s.kind AS scope_kind, s.name AS scope, t.pasid, t.vpasid, t.tenure, t.generation, t.pid, t.fd,
       t.context, t.from_seq, t.to_seq, a.function, a.device, a.hwpt, a.ioas
     FROM held
     CROSS JOIN pasid_tenure AS t ON t.trace = ? AND t.tenure = held.tenure
     CROSS JOIN pasid_scope AS s ON s.trace = t.trace AND s.scope = t.scope
     LEFT JOIN pasid_attachment AS a INDEXED BY pasid_attachment_by_tenure
       ON a.trace = t.trace AND a.tenure = t.tenure AND a.from_seq <= ? AND (a.to_seq IS NULL OR a.to_seq > ?)
     WHERE (t.to_seq IS NULL OR t.to_seq > ?) ${sql}
     ORDER BY t.scope, t.pasid, t.tenure, a.attachment`,
    [...ids, traceId, at, at, at, ...values],
  );
  return rows as unknown as readonly HolderLine[];
}

function attachmentWhere({ device, pid }: PasidFilter): Where {
  const parts: string[] = [];
  const values: SqlValue[] = [];
  if (device !== undefined) {
    const named = deviceWhere('a', device, `s.kind = 'function' AND s.name`);
    parts.push(`AND ${named.sql}`);
    values.push(...named.values);
  }
  if (pid !== undefined) {
    parts.push('AND t.pid = ?');
    values.push(pid);
  }
  return { sql: parts.join(' '), values };
}

/**
 * A whole number is the id of an object, anything else an address; the PCI domain may be left out. `scope` is
 * SQL for the name of a function's number space: the numbers of a function are also those of its mediated
 * devices, and may be allocated without being attached.
 */
function deviceWhere(row: string, device: string, scope: string | null = null): Where {
  if (/^\d+$/.test(device)) return { sql: `${row}.device = ?`, values: [Number(device)] };
  const names = [device, `0000:${device}`];
  const own = `${row}.function IN (?, ?)`;
  return scope === null
    ? { sql: own, values: names }
    : { sql: `(${own} OR ${scope} IN (?, ?))`, values: [...names, ...names] };
}

/** Everybody who held a PASID, in the order in which they took it; `limit` rows at most. */
export function findTenures(
  store: Store,
  trace: string,
  filter: PasidFilter,
  which: 'all' | 'leaked' | 'reused' | 'reused-unflushed',
  limit: number,
): { readonly count: number; readonly rows: readonly TenureLine[] } {
  const parts = ['t.trace = ?'];
  const values: SqlValue[] = [trace];
  if (which === 'leaked') parts.push('t.to_seq IS NULL');
  if (which === 'reused') parts.push('t.previous IS NOT NULL');
  if (which === 'reused-unflushed') parts.push(`t.reuse_flush = 'none'`);
  if (filter.pasid !== undefined) add(parts, values, 't.pasid = ?', [filter.pasid]);
  if (filter.pid !== undefined) add(parts, values, 't.pid = ?', [filter.pid]);
  if (filter.device !== undefined) {
    const { sql, values: named } = deviceWhere('a', filter.device);
    const of = 'SELECT 1 FROM pasid_attachments AS a WHERE a.trace = t.trace AND a.tenure = t.tenure';
    if (/^\d+$/.test(filter.device)) add(parts, values, `EXISTS (${of} AND ${sql})`, named);
    else {
      const names = [filter.device, `0000:${filter.device}`];
      const inScope = `t.scope_kind = 'function' AND t.scope IN (?, ?)`;
      add(parts, values, `(EXISTS (${of} AND ${sql}) OR ${inScope})`, [...named, ...names]);
    }
  }
  const where = `FROM pasid_tenures AS t WHERE ${parts.join(' AND ')}`;
  return page<TenureLine>(store, 't', where, 'ORDER BY t.tenure', values, limit);
}

/** What happened, grouped by scope and PASID, each in order. */
export function findEvents(
  store: Store,
  trace: string,
  filter: PasidFilter,
  limit: number,
): { readonly count: number; readonly rows: readonly EventLine[] } {
  const parts = ['e.trace = ?'];
  const values: SqlValue[] = [trace];
  if (filter.pasid !== undefined) add(parts, values, 'e.pasid = ?', [filter.pasid]);
  if (filter.pid !== undefined) {
    const held = 'SELECT tenure FROM pasid_tenures AS t WHERE t.trace = ? AND t.pid = ?';
    add(parts, values, `(e.pid = ? OR e.tenure IN (${held}))`, [filter.pid, trace, filter.pid]);
  }
  if (filter.device !== undefined) {
    const { sql, values: named } = deviceWhere('a', filter.device);
    const held = `SELECT tenure FROM pasid_attachments AS a WHERE a.trace = ? AND ${sql}`;
    const own = deviceWhere('e', filter.device, `e.scope_kind = 'function' AND e.scope`);
    add(parts, values, `(${own.sql} OR e.function IS NULL AND e.tenure IN (${held}))`, [
      ...own.values,
      trace,
      ...named,
    ]);
  }
  const where = `FROM pasid_events AS e WHERE ${parts.join(' AND ')}`;
  const order = 'ORDER BY e.scope_kind, e.scope, e.pasid, e.event';
  return page<EventLine>(store, 'e', where, order, values, limit);
}

/** Names of the functions and devices that the history tells of; `limit` at most. */
export function findFunctions(store: Store, trace: string, limit: number): readonly string[] {
  const sql = `SELECT DISTINCT function FROM pasid_events WHERE trace = ? AND function IS NOT NULL
    ORDER BY function LIMIT ?`;
  return store.query(sql, [trace, limit]).map(({ function: name }) => String(name));
}

/** All scopes with their high-water marks. */
export function findScopes(store: Store, trace: string): readonly ScopeLine[] {
  const columns = 'kind, scope, is_space, quota, tenures, held, high_water, high_water_seq, refused';
  // The system first, then the functions, and so on; numbers of processes in the order of numbers.
  const order = `ORDER BY instr('system function set process', kind), CAST(scope AS INTEGER), scope`;
  const rows = store.query(`SELECT ${columns} FROM pasid_scopes WHERE trace = ? ${order}`, [trace]);
  return rows as unknown as readonly ScopeLine[];
}

function add(parts: string[], values: SqlValue[], sql: string, more: readonly SqlValue[]): void {
  parts.push(sql);
  values.push(...more);
}

function page<Line>(
  store: Store,
  row: string,
  where: string,
  order: string,
  values: readonly SqlValue[],
  limit: number,
): { readonly count: number; readonly rows: readonly Line[] } {
  const [found] = store.query(`SELECT count(*) AS count ${where}`, values);
  const rows = store.query(`SELECT ${row}.* ${where} ${order} LIMIT ?`, [...values, limit]);
  return { count: Number(found?.['count']), rows: rows.map(withoutTrace) as unknown as readonly Line[] };
}

function withoutTrace({ trace: _, ...row }: Readonly<Record<string, SqlValue>>) {
  return row;
}
