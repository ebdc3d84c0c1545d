import { existsSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { StoreError } from './errors.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';

export type SqliteDatabase = Database.Database;

/** Path that SQLite takes for a temporary database: on disk, nameless, gone when it is closed. */
export const TEMPORARY = '';

const PAGE_BYTES = 8192;

/** How to open a store. */
export interface OpenOptions {
  /** Make the store when the file does not exist; true unless given. */
  readonly create?: boolean;
}

/** Name of a store in messages. */
export function storeName(path: string): string {
  return path === TEMPORARY ? '<temporary store>' : path;
}

/** Runs a database operation; SQLite's errors become StoreErrors that name the store. */
export function guard<T>(path: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
    throw new StoreError(`${storeName(path)}: ${problemOf(error.code, error.message)}`, { cause: error });
  }
}

function problemOf(code: string, message: string): string {
  if (code === 'SQLITE_NOTADB') return 'is not an ioasis store (not an SQLite database)';
  if (code.startsWith('SQLITE_BUSY')) return 'is locked by another process';
  if (code.startsWith('SQLITE_CANTOPEN')) return 'cannot be opened';
  if (code.startsWith('SQLITE_READONLY')) return 'cannot be written';
  if (code.startsWith('SQLITE_FULL')) return 'the disk is full';
  if (code.startsWith('SQLITE_CORRUPT')) return `is damaged (${message})`;
  return message;
}

/**
 * Opens the database of a store, making or migrating it as needed. A file that is not ours is left as it is.
 * @throws StoreError
 */
export function openDatabase(path: string, options: OpenOptions = {}): SqliteDatabase {
  const isFile = path !== TEMPORARY && path !== ':memory:';
  if (isFile) checkFile(path, options.create ?? true);
  const database = guard(path, () => connect(path));
  try {
    guard(path, () => prepare(database, path, isFile));
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function checkFile(path: string, mayCreate: boolean): void {
  if (!existsSync(path)) {
    if (!mayCreate) throw new StoreError(`${path}: no such store`);
  } else if (statSync(path).isDirectory()) {
    throw new StoreError(`${path}: is a directory, not a store`);
  }
}

function connect(path: string): SqliteDatabase {
  try {
    return keepAlive(new Database(path));
  } catch (error) {
    // better-sqlite3 looks at the directory itself, and throws a TypeError.
    if (error instanceof TypeError)
      throw new StoreError(`${path}: the directory does not exist`, { cause: error });
    throw error;
  }
}

/** Every database and statement of this process. */
const kept: object[] = [];

/**
 * Keeps a database and all its statements from the garbage collector. Node 24.19 and newer abort the process
 * when it collects one of better-sqlite3 12 (RemoveEnvironmentCleanupHook asserts env != nullptr), closed or
 * not. A store prepares a few dozen statements, so keeping them costs little; pragmas go through exec and
 * prepare because Database#pragma makes a statement that it drops.
 */
function keepAlive(database: SqliteDatabase): SqliteDatabase {
  const prepareStatement = database.prepare.bind(database);
  database.prepare = ((source: string) => {
    const statement = prepareStatement(source);
    kept.push(statement);
    return statement;
  }) as SqliteDatabase['prepare'];
  kept.push(database);
  return database;
}

function prepare(database: SqliteDatabase, path: string, isFile: boolean): void {
  const isFresh = requireOurs(database, path);
  if (isFresh) database.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
  if (isFile) {
    // NORMAL: a killed process loses nothing that was committed; a power cut may lose the last batches.
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = NORMAL');
  } else {
    database.exec('PRAGMA synchronous = OFF');
  }
  if (versionOf(database) < SCHEMA_VERSION) database.transaction(() => migrate(database, path)).immediate();
}

function versionOf(database: SqliteDatabase): number {
  return database.prepare('PRAGMA user_version').pluck().get() as number;
}

/**
 * Says whether the database is empty. @throws StoreError when it is another program's, or a newer one of ours
 */
function requireOurs(database: SqliteDatabase, path: string): boolean {
  const applicationId = database.prepare('PRAGMA application_id').pluck().get() as number;
  const version = versionOf(database);
  const objectCount = database.prepare('SELECT count(*) FROM sqlite_master').pluck().get() as number;
  if (applicationId === 0 && version === 0 && objectCount === 0) return true;
  if (applicationId !== APPLICATION_ID) {
    throw new StoreError(`${storeName(path)}: is not an ioasis store (it belongs to another program)`);
  }
  if (version > SCHEMA_VERSION) {
    throw new StoreError(
      `${storeName(path)}: has schema version ${version}, ` +
        `newer than the version ${SCHEMA_VERSION} that this program knows`,
    );
  }
  return false;
}

/** Runs inside a transaction, so that two programs that open one store at once do not both migrate it. */
function migrate(database: SqliteDatabase, path: string): void {
  requireOurs(database, path);
  for (let version = versionOf(database); version < SCHEMA_VERSION; version++) {
    database.exec(MIGRATIONS[version]!);
  }
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
  database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}
