import Database from 'better-sqlite3';

const kept: object[] = [];

/**
 * A database that a test opens beside the store. It and its statements are kept for as long as the process
 * lives: Node 24.19 and newer abort when one of better-sqlite3 12 is collected; see `keepAlive` of the store.
 */
export function openSqlite(path: string, options: Database.Options = {}): Database.Database {
  const database = new Database(path, options);
  const prepareStatement = database.prepare.bind(database);
  database.prepare = ((source: string) => {
    const statement = prepareStatement(source);
    kept.push(statement);
    return statement;
  }) as Database.Database['prepare'];
  kept.push(database);
  return database;
}
