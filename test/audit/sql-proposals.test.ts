import { afterAll, describe, expect, test } from 'vitest';
import { buildPasidHistory } from '../../src/audit/index.ts';
import { openStore } from '../../store/index.ts';
import { readExample } from '../support/proposal-examples.ts';
import { readMayQuestion, readQuestions, textOfRows } from './audit-database.ts';

/** The ten questions of docs/audit-sql.md, asked of a generation that allocates PASIDs. */

const store = openStore(':memory:');
afterAll(() => store.close());

const { header, calls } = readExample('may-8-two-vms-audit');
const writer = store.beginTrace({ name: 'may', header });
writer.append(calls);
writer.seal();
buildPasidHistory(store, writer.traceId);

/** What another trace has in place of the names and numbers of the document. */
const ALWAYS: readonly (readonly [string, string])[] = [
  [`'edu'`, `'may'`],
  [`'selftest'`, `'may'`],
  [`'cut'`, `'may'`],
];
const OWN: Readonly<Record<number, readonly (readonly [string, string])[]>> = {
  1: [
    ['pasid = 70', 'pasid = 2'],
    ['60', '33'],
  ],
  2: [
    [`'0000:00:02.0'`, `'mdev-b'`],
    ['pasid = 1', 'pasid = 2'],
  ],
  // The first VM is killed.
  4: [[`to_call = 'close'`, `to_call = 'waitpid'`]],
  7: [[`trace <> 'may'`, `trace = 'may'`]],
};

function asked(sql: string, number: number): string {
  const changes = [...ALWAYS, ...(OWN[number] ?? [])];
  return changes.reduce((text, [from, to]) => text.replaceAll(from, to), sql);
}

const ANSWERS: readonly (readonly string[])[] = [
  ['2 |  | 100 | 10 | mdev-a | 2 | 0 | 1 | 9 | 34'],
  ['0 | 2 | 36 | -'],
  [
    '2 |  | 200 | 10 | 36 | VFIO_ATTACH_IOASID',
    '3 |  | 200 | 10 | 18 | VFIO_ATTACH_IOASID',
    '4 |  | 200 | 10 | 23 | VFIO_ATTACH_IOASID',
  ],
  [' | 39 | 1 | 1'],
  ['2 |  | 34 | 36 | 2 | kernel'],
  [
    'may | process | 100 | 2 | 0 | 2 | 9 | -',
    'may | process | 200 | 3 | 3 | 3 | 36 | -',
    'may | set | descriptor 1 | 2 | 0 | 2 | 9 | 4096',
    'may | set | descriptor 4 | 3 | 3 | 3 | 36 | 4096',
    'may | system |  | 5 | 3 | 4 | 23 | 1048575',
  ],
  ['may | proposal-already-attached | 1 | 27'],
  ['2 |  | 1 | 1 | 28 | 29'],
  // Its map calls have no struct: the document's own query for them is asked below.
  [],
  [],
];

describe('the questions of docs/audit-sql.md, of May 2021', () => {
  test.each(readQuestions().map(({ title, sql }) => [title, sql] as const))('%s', (title, sql) => {
    const number = Number.parseInt(title, 10);
    const [, ...rows] = textOfRows(store.query(asked(sql, number)))
      .trimEnd()
      .split('\n');
    expect(rows).toEqual(ANSWERS[number - 1]);
  });

  test('what was mapped for a device while a PASID of it was attached', () => {
    const { sql, answer } = readMayQuestion();
    expect(textOfRows(store.query(sql))).toBe(answer);
  });
});
