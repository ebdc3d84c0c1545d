import { type Call, createReusedIoctl, type IoctlCall } from '../src/trace/index.ts';
import type { SqliteDatabase } from './open-database.ts';
import { IOCTL_KINDS } from './record-kinds.ts';
import * as at from './row.ts';
import { decodeRow } from './row-decode.ts';

/** Rows read at once unless the caller says otherwise. */
const PAGE_ROWS_DEFAULT = 4096;

/** Which calls to read; both ends are inclusive. */
export interface ReadRange {
  readonly fromSeq?: number;
  readonly toSeq?: number;
  /** Rows read at once; 4096 unless given. Changes cost, never what is read. */
  readonly pageRows?: number;
}

/** Sees each call; answering exactly `false` ends the reading. */
export type CallVisitor = (call: Call) => unknown;

/** Pages of rows of one trace, in order. Values that a double cannot hold come as bigints. */
export function* readPages(
  database: SqliteDatabase,
  traceId: number,
  columns: string,
  range: ReadRange,
): Generator<at.Row[], void, undefined> {
  const pageRows = Math.max(1, range.pageRows ?? PAGE_ROWS_DEFAULT);
  const lastSeq = range.toSeq ?? Number.MAX_SAFE_INTEGER;
  const where = `FROM call WHERE trace = ${traceId} AND seq`;
  const page = database.prepare(`SELECT ${columns} ${where} > ? AND seq <= ? ORDER BY seq LIMIT ?`).raw();
  let previousSeq = (range.fromSeq ?? 0) - 1;
  for (;;) {
    const rows = page.all(previousSeq, lastSeq, pageRows) as at.Row[];
    if (rows.length === 0) return;
    previousSeq = rows[rows.length - 1]![at.SEQ] as number;
    yield rows;
    if (rows.length < pageRows) return;
  }
}

/** Reads single rows again when a double could not hold one of their values. */
export function createExactReader(
  database: SqliteDatabase,
  traceId: number,
  columns: string,
): (row: at.Row) => at.Row {
  const one = database
    .prepare(`SELECT ${columns} FROM call WHERE trace = ${traceId} AND seq = ?`)
    .raw()
    .safeIntegers();
  return (row) => (one.get(row[at.SEQ]) as at.Row).map(narrow);
}

function narrow(value: at.Row[number]): at.Row[number] {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return number > -at.INEXACT_FIRST && number < at.INEXACT_FIRST ? number : value;
}

/**
 * Reads calls for a replay, as cheaply as can be: ioctls that fit the columns come in ONE object whose
 * buffers are overwritten by the next call. Left out are thread, time, unknown keys and the address of the
 * struct (`argp` is 0 unless it is a plain value, or a recorded buffer reaches over the struct).
 * @returns False when the visitor ended the reading.
 */
export function readCalls(
  database: SqliteDatabase,
  traceId: number,
  range: ReadRange,
  visit: CallVisitor,
): boolean {
  const hydrate = createHydrator();
  const exactly = createExactReader(database, traceId, at.HOT_COLUMNS);
  for (const rows of readPages(database, traceId, at.HOT_COLUMNS, range)) {
    for (const row of rows) {
      const hot = hydrate(row);
      const call = hot ?? decodeRow(at.hasRoundedValue(row) ? exactly(row) : row);
      if (visit(call) === false) return false;
    }
  }
  return true;
}

/** Reads calls with all that was recorded, each an object of its own. */
export function* readCallsExact(
  database: SqliteDatabase,
  traceId: number,
  range: ReadRange,
): Generator<Call, void, undefined> {
  const exactly = createExactReader(database, traceId, at.ROW_COLUMNS);
  for (const rows of readPages(database, traceId, at.ROW_COLUMNS, range)) {
    for (const row of rows) yield decodeRow(at.hasRoundedValue(row) ? exactly(row) : row);
  }
}

const TWO_32 = 4294967296;

/** A buffer of the longest hot struct, and its prefixes of every length, made once. */
function createScratch(): { view: DataView; prefixes: readonly Uint8Array[] } {
  const buffer = new ArrayBuffer(at.HOT_BYTES_MAX);
  const prefixes: Uint8Array[] = [];
  for (let length = 0; length <= at.HOT_BYTES_MAX; length++) prefixes.push(new Uint8Array(buffer, 0, length));
  return { view: new DataView(buffer), prefixes };
}

/**
 * Fills one IoctlCall from hot rows. Answers null for a row that needs the general decoder: not an ioctl,
 * something in `more`, a plain argument, or a value that a double cannot hold.
 */
function createHydrator(): (row: at.Row) => IoctlCall | null {
  const arg = createScratch();
  const out = createScratch();
  const call = createReusedIoctl();
  return (row) => {
    const what = row[at.WHAT] as number;
    const length = row[at.LEN] as number | null;
    if (row[at.MORE] !== null || length === null || what >= IOCTL_KINDS.length) return null;
    const changedWord = row[at.OW] as number | null;
    for (let word = 0; word * 8 < length; word++) {
      const value = row[at.W0 + word] as number;
      if (value >= at.INEXACT_FIRST || value <= -at.INEXACT_FIRST) return null;
      const high = Math.floor(value / TWO_32);
      arg.view.setInt32(word * 8, value | 0, true);
      arg.view.setInt32(word * 8 + 4, high | 0, true);
      if (changedWord === null) continue;
      out.view.setInt32(word * 8, value | 0, true);
      out.view.setInt32(word * 8 + 4, high | 0, true);
    }
    call.arg = arg.prefixes[length]!;
    if (changedWord === null) {
      call.out = call.arg;
    } else if (changedWord === at.NO_OUT) {
      call.out = null;
    } else {
      const value = row[at.OV] as number;
      if (value >= at.INEXACT_FIRST || value <= -at.INEXACT_FIRST) return null;
      out.view.setInt32(changedWord * 8, value | 0, true);
      out.view.setInt32(changedWord * 8 + 4, Math.floor(value / TWO_32) | 0, true);
      call.out = out.prefixes[length]!;
    }
    const rc = row[at.RC] as number | null;
    call.replied = rc !== null;
    call.ret = rc === null ? 0 : rc < 0 ? -1 : rc;
    call.errno = rc !== null && rc < 0 ? -rc : 0;
    call.seq = row[at.SEQ] as number;
    call.pid = row[at.PID] as number;
    call.fd = row[at.FD] as number;
    call.cmd = row[at.CMD] as number;
    call.kind = IOCTL_KINDS[what]!;
    return call;
  };
}
