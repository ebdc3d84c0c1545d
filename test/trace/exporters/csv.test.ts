import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CSV_COLUMNS, exportCsv } from '../../../src/trace/index.ts';
import { describeCall, sourceOfCapture, textOf } from '../../support/export-source.ts';
import { readFixture } from '../../support/fixtures.ts';

/** Reads CSV as RFC 4180 says, with quotes and line ends inside of cells. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  for (const [, , quoted, plain, end] of text.matchAll(/((?:"((?:[^"]|"")*)"|([^",\r\n]*)))(,|\r\n)/g)) {
    if (rows.length === 0 || rows.at(-1)!.at(-1) === '\n') rows.push([]);
    rows.at(-1)!.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'));
    if (end === '\r\n') rows.at(-1)!.push('\n');
  }
  return rows.map((row) => row.slice(0, -1));
}

describe('CSV', () => {
  const fixture = readFixture('iommufd_mock_domain.two_domains.basic');

  test('has one row for each record, and all of its columns in each', () => {
    const { text, summary } = textOf((write) =>
      exportCsv(sourceOfCapture(fixture), write, { describe: describeCall }),
    );
    const [head, ...rows] = parseCsv(text);
    expect(head).toEqual([...CSV_COLUMNS]);
    expect(rows).toHaveLength(fixture.calls.length);
    expect(summary.written).toBe(fixture.calls.length);
    for (const row of rows) expect(row).toHaveLength(CSV_COLUMNS.length);
    const cell = (seq: number, column: (typeof CSV_COLUMNS)[number]): string =>
      rows.find((row) => row[0] === String(seq))![CSV_COLUMNS.indexOf(column)]!;
    expect(cell(64, 'name')).toBe('IOMMU_IOAS_MAP');
    expect([cell(64, 'ret'), cell(64, 'errno'), cell(64, 'error')]).toEqual(['-1', '14', 'EFAULT']);
    expect([cell(64, 'ioas'), cell(64, 'length'), cell(64, 'user_va')]).toEqual([
      '1',
      '0x8000',
      '0x7f77bd07c000',
    ]);
    // The IOVA is the one that the kernel chose.
    expect(cell(59, 'iova')).toBe('0x1000000');
  });

  test('gives any text back, whatever quotes, commas and line ends it has', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('"', ',', '\r\n', '\n', 'a', ' '), { maxLength: 8 }), (parts) => {
        const words = parts.join('');
        const one = { header: fixture.header, calls: fixture.calls.slice(0, 1) };
        const { text } = textOf((write) => exportCsv(sourceOfCapture(one), write, { describe: () => words }));
        expect(parseCsv(text)[1]!.at(-1)).toBe(words);
      }),
    );
  });
});
