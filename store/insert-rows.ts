import type { SqliteDatabase } from './open-database.ts';
import { COLUMN_COUNT, ROW_COLUMNS, type Row } from './row.ts';

/**
 * Rows of one INSERT: the trigger and the call into SQLite cost a third less for each row than one at a time.
 */
const STATEMENT_ROWS = 8;

/** Inserts rows of one trace, several with one statement. */
export interface RowInserter {
  /** Takes the values over; they may not be in the table before flush(). */
  add(row: Row): void;
  flush(): void;
}

/** Makes an inserter for a trace. Use it within a transaction, and flush before that ends. */
export function createRowInserter(database: SqliteDatabase, traceId: number): RowInserter {
  const placeholders = `(${'?, '.repeat(COLUMN_COUNT)}${traceId})`;
  const insertInto = `INSERT INTO call (${ROW_COLUMNS}, trace) VALUES`;
  const insertOne = database.prepare(`${insertInto} ${placeholders}`);
  const insertMany = database.prepare(`${insertInto} ${Array(STATEMENT_ROWS).fill(placeholders).join(', ')}`);
  const values: Row = new Array<null>(STATEMENT_ROWS * COLUMN_COUNT).fill(null);
  let heldRows = 0;

  return {
    add(row) {
      const start = heldRows * COLUMN_COUNT;
      for (let column = 0; column < COLUMN_COUNT; column++) values[start + column] = row[column]!;
      if (++heldRows < STATEMENT_ROWS) return;
      heldRows = 0;
      insertMany.run(values);
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
