import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPasidHistory } from '../../src/audit/index.ts';
import { openStore, type SqlValue, type Store } from '../../store/index.ts';
import { readFixture } from '../support/fixtures.ts';

/** The store that docs/audit-sql.md asks: see its first section. */

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
export const HARDWARE = join(FIXTURES, 'linux-7.3-hw');
export const SELFTESTS_73 = join(FIXTURES, 'linux-7.3-selftests');
export const PASID_SELFTEST = 'iommufd_device_pasid.has_pasid.pasid_attach';

const DOCUMENT = join(import.meta.dirname, '../../docs/audit-sql.md');

/** The last call of the trace `cut`. */
const CUT_AFTER = 70;

export function openAuditStore(): Store {
  const store = openStore(':memory:');
  keep(store, 'edu', HARDWARE, 'vtd-ss-pasid', Number.MAX_SAFE_INTEGER);
  keep(store, 'selftest', SELFTESTS_73, PASID_SELFTEST, Number.MAX_SAFE_INTEGER);
  keep(store, 'cut', HARDWARE, 'vtd-ss-pasid', CUT_AFTER);
  return store;
}

function keep(store: Store, name: string, folder: string, fixture: string, lastSeq: number): void {
  const { header, calls } = readFixture(fixture, folder);
  const writer = store.beginTrace({ name, header });
  writer.append(calls.filter(({ seq }) => seq <= lastSeq));
  writer.seal();
  buildPasidHistory(store, writer.traceId);
}

/** A question of docs/audit-sql.md. */
export interface Question {
  readonly title: string;
  readonly sql: string;
  readonly answer: string;
}

export function readQuestions(): readonly Question[] {
  const text = readFileSync(DOCUMENT, 'utf8');
  const pattern = /^## (\d+\. .*)\n[\s\S]*?```sql\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/gm;
  return [...text.matchAll(pattern)].map(([, title, sql, answer]) => ({
    title: title!,
    sql: sql!,
    answer: answer!,
  }));
}

/** The question that the document asks of 2021 only. */
export function readMayQuestion(): Omit<Question, 'title'> {
  const text = readFileSync(DOCUMENT, 'utf8');
  const pattern = /^## The same of 2020 and 2021\n[\s\S]*?```sql\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/m;
  const [, sql, answer] = pattern.exec(text)!;
  return { sql: sql!, answer: answer! };
}

/** Rows as the document shows them. */
export function textOfRows(rows: readonly Readonly<Record<string, SqlValue>>[]): string {
  const [first] = rows;
  if (first === undefined) return '(no rows)\n';
  const lines = [Object.keys(first), ...rows.map((row) => Object.values(row).map((value) => value ?? '-'))];
  return `${lines.map((cells) => cells.join(' | ')).join('\n')}\n`;
}

/** The views of docs/audit-sql.md with the columns that it describes. */
export function documentedColumns(): readonly (readonly [string, readonly string[]])[] {
  const text = readFileSync(DOCUMENT, 'utf8');
  return [...text.matchAll(/^\| `(pasid_\w+)` \| [^|]* \| ([^|]*) \|$/gm)].map(([, view, columns]) => [
    view!,
    // Values of a column stand in parentheses after it.
    [...columns!.replace(/\([^)]*\)/g, '').matchAll(/`(\w+)`/g)].map(([, column]) => column!),
  ]);
}
