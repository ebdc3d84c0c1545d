import type { DescriptorKind } from '../src/trace/index.ts';
import type { SqliteDatabase } from './open-database.ts';
import { whatOf } from './record-kinds.ts';

/** Whether a trace opens a descriptor of one of these kinds. */
export function opensKind(
  database: SqliteDatabase,
  traceId: number,
  kinds: readonly DescriptorKind[],
): boolean {
  const places = kinds.map(() => '?').join(', ');
  const statement = database.prepare(`SELECT 1 FROM call WHERE trace = ? AND what IN (${places}) LIMIT 1`);
  return statement.get(traceId, ...kinds.map((kind) => whatOf('open', kind))) !== undefined;
}
