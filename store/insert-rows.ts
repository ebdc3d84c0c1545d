import type { SqliteDatabase } from './open-database.ts';
import { COLUMN_COUNT, ROW_COLUMNS, type Row } from './row.ts';
import { type RowBlock, readRowBytes } from './row-bytes.ts';

/** Rows of one INSERT: the trigger and the call into SQLite cost half as much for each as one at a time. */
const STATEMENT_ROWS = 32;

/** Inserts rows of one trace, several with one statement. */
export interface RowInserter {
  /** Takes the values over; they may not be in the table before flush(). */
  add(row: Row): void;
  /** Adds rows of a block, `end` exclusive. */
  addRows(block: RowBlock, from: number, end: number): void;
  flush(): void;
}

/** Makes an inserter for a trace. Use it within a transaction, and flush before that ends. */
export function createRowInserter(database: SqliteDatabase, traceId: number): RowInserter {
  const placeholders = `(${'?, '.repeat(COLUMN_COUNT)}${traceId})`;
  const insertInto = `INSERT INTO call (${ROW_COLUMNS}, trace) VALUES`;
  const insertOne = database.prepare(`${insertInto} ${placeholders}`);
  // A short trace does without the long statement.
  let insertMany: typeof insertOne | null = null;
  const values: Row = new Array<null>(STATEMENT_ROWS * COLUMN_COUNT).fill(null);
  let heldRows = 0;

  const rowAdded = (): void => {
    if (++heldRows < STATEMENT_ROWS) return;
    heldRows = 0;
    insertMany ??= database.prepare(`${insertInto} ${Array(STATEMENT_ROWS).fill(placeholders).join(', ')}`);
    insertMany.run(values);
  };

  return {
    add(row) {
      const start = heldRows * COLUMN_COUNT;
      for (let column = 0; column < COLUMN_COUNT; column++) values[start + column] = row[column]!;
      rowAdded();
    },
    addRows({ bytes, ends }, from, end) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let row = from; row < end; row++) {
        readRowBytes(view, buffer, row === 0 ? 0 : ends[row - 1]!, values, heldRows * COLUMN_COUNT);
        rowAdded();
      }
    },
    flush() {
      const rows = heldRows;
      heldRows = 0;
      for (let index = 0; index < rows; index++) {
        insertOne.run(values.slice(index * COLUMN_COUNT, (index + 1) * COLUMN_COUNT));
      }
    },
  };
}
