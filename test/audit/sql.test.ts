import { afterAll, describe, expect, test } from 'vitest';
import { documentedColumns, openAuditStore, readQuestions, textOfRows } from './audit-database.ts';

const store = openAuditStore();
afterAll(() => store.close());

const QUESTIONS = readQuestions();

describe('docs/audit-sql.md', () => {
  test('has ten questions', () => {
    expect(QUESTIONS.map(({ title }) => Number.parseInt(title, 10))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test.each(QUESTIONS.map(({ title, ...rest }) => [title, rest] as const))('%s', (_, { sql, answer }) => {
    expect(textOfRows(store.query(sql))).toBe(answer);
  });

  test('names every column of the views, and no other', () => {
    for (const [view, columns] of documentedColumns()) {
      const found = store.query(`SELECT name FROM pragma_table_info('${view}')`).map(({ name }) => name);
      expect([view, [...columns].sort()]).toEqual([view, [...found].sort()]);
    }
    expect(documentedColumns()).toHaveLength(4);
  });
});
