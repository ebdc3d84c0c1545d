import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EMPTY_HEADER } from '../../src/trace/index.ts';
import { type BundleSummary, createBundleVerifier, openStore, type Store } from '../../store/index.ts';
import { hotCall, hotCalls } from './make-calls.ts';

/** Two links of 4096 calls and a rest; the last call has a text that many readers of lines would split. */
const CALL_COUNT = 10_000;
const ODD_TEXT = 'one\u2028two\u0085three';

let store: Store;
beforeAll(() => {
  store = openStore(':memory:');
  const writer = store.beginTrace({ name: 'all', header: { ...EMPTY_HEADER, kernel: '7.3.0', raw: null } });
  writer.append(hotCalls(CALL_COUNT - 1));
  writer.append([
    { ...hotCall(CALL_COUNT - 1), argp: 2n ** 63n + 1n, extra: { odd: ODD_TEXT }, mem: [], tid: 7 },
  ]);
  writer.seal({ skipped: { zap: 2 } });
  store.beginTrace({ name: 'open', header: EMPTY_HEADER }).append(hotCalls(10));
  const empty = store.beginTrace({ name: 'empty', header: EMPTY_HEADER });
  empty.seal();
});
afterAll(() => store.close());

function exported(fromSeq?: number, toSeq?: number): { lines: string[]; summary: BundleSummary } {
  const lines: string[] = [];
  const range = { ...(fromSeq === undefined ? {} : { fromSeq }), ...(toSeq === undefined ? {} : { toSeq }) };
  return { lines, summary: store.writeBundle(1, range, (line) => lines.push(line)) };
}

function verify(lines: readonly string[]) {
  const verifier = createBundleVerifier();
  for (const line of lines) verifier.add(line);
  return verifier.end();
}

describe('a bundle', () => {
  test.each([
    ['of the whole trace', undefined, undefined, 0, 9999, 10_000, 10_000],
    ['of a few calls', 100, 200, 100, 200, 101, 4096],
    ['of one call', 9999, 9999, 9999, 9999, 1, 1808],
    ['across links', 4000, 5000, 4000, 5000, 1001, 8192],
    ['beyond the ends', 9000, 99_999, 9000, 9999, 1000, 1808],
  ])('%s verifies alone', (_, fromSeq, toSeq, from, to, calls, rows) => {
    const { lines, summary } = exported(fromSeq, toSeq);
    const { chainHead } = store.findTrace(1)!;
    expect(summary).toEqual({ trace: 'all', from, to, calls, rows, links: 3, chainHead });
    const range = { trace: 'all', from, to, calls, traceCalls: CALL_COUNT };
    expect(verify(lines)).toEqual({ ok: true, ...range, chainHead });
    expect(lines.filter((line) => line.startsWith('{"row"'))).toHaveLength(rows);
  });

  test('is the same text each time', () => {
    expect(exported(5, 9).lines).toEqual(exported(5, 9).lines);
  });

  test.each([
    ['is not sealed', 2, {}, 'is not sealed'],
    ['has no call in the range', 1, { fromSeq: 20_000 }, 'has no call in that range'],
    ['has no call at all', 3, {}, 'has no call in that range'],
  ])('is refused of a trace that %s', (_, traceId, range, message) => {
    expect(() => store.writeBundle(traceId, range, () => {})).toThrow(message);
  });
});

/** Index of lines: the head, 4096 rows of the first link, three links, the end. */
const ROW_OF_150 = 151;

describe('verifying a bundle names', () => {
  const change = (edit: (lines: string[]) => void, from = 100, to = 200) => {
    const { lines } = exported(from, to);
    edit(lines);
    return verify(lines);
  };
  const swapIn = (index: number, one: string | RegExp, other: string) => (lines: string[]) => {
    const before = lines[index]!;
    lines[index] = before.replace(one, other);
    expect(lines[index]).not.toBe(before);
  };

  test('each column of a call that was changed', () => {
    const { lines } = exported(150, 150);
    const row = (JSON.parse(lines[ROW_OF_150]!) as { row: unknown[] }).row;
    expect(row[0]).toBe(150);
    for (const [column, value] of row.entries()) {
      const changed = [...row];
      changed[column] = typeof value === 'string' ? `${value} ` : Number(value ?? 0) + 1;
      const found = verify(lines.with(ROW_OF_150, JSON.stringify({ row: changed })));
      // A number that was changed itself is named as it is now.
      const seq = column === 0 ? 151 : 150;
      expect(found).toMatchObject({ ok: false, line: ROW_OF_150 + 1, seq });
    }
  });

  test.each([
    ['a call that was taken out', (lines: string[]) => lines.splice(ROW_OF_150, 1), 151],
    ['a call that was put in', (lines: string[]) => lines.splice(ROW_OF_150, 0, lines[2]!), null],
    [
      'calls that were swapped',
      (lines: string[]) => lines.splice(ROW_OF_150, 2, lines[ROW_OF_150 + 1]!, lines[ROW_OF_150]!),
      151,
    ],
    ['a line that is no JSON', (lines: string[]) => lines.splice(9, 1, '{'), null],
    ['a line that is no call', (lines: string[]) => lines.splice(9, 1, '{"row":[1]}'), null],
    ['a line that says more', swapIn(9, '{"row"', '{"note":"see 5","row"'), null],
    ['a line with other spaces', swapIn(9, '{"row":', '{"row": '), null],
    ['a header that was changed', swapIn(0, '7.3.0', '7.3.1'), null],
    ['a number of calls that was changed', swapIn(4099, /"calls":10000/, '"calls":10001'), null],
    ['skipped records that were changed', swapIn(4099, 'zap', 'zip'), null],
    ['a hash that was changed', swapIn(4098, /"hash":"./, '"hash":"'), null],
    ['a hash of other links that was cut', swapIn(4098, /"rows":"../, '"rows":"'), null],
    ['a newest hash that was changed', swapIn(4100, /"head":"./, '"head":"'), null],
    ['an end that is missing', (lines: string[]) => lines.pop(), null],
    ['lines after the end', (lines: string[]) => lines.push(lines[1]!), null],
    ['a range that is not all there', swapIn(0, '"from":100', '"from":5000'), null],
    ['a file that is empty', (lines: string[]) => lines.splice(0), null],
    ['a file of another kind', swapIn(0, 'ioasis-audit-1', 'ioasis-audit-9'), null],
  ])('%s', (_, edit, seq) => {
    expect(change((lines) => void edit(lines))).toMatchObject({ ok: false, seq });
  });

  test('calls that were changed together with their checks by the hash of the link', () => {
    const { lines } = exported(100, 200);
    const other = openStore(':memory:');
    const writer = other.beginTrace({ name: 'all', header: { ...EMPTY_HEADER, kernel: '7.3.0', raw: null } });
    writer.append(hotCalls(CALL_COUNT).map((call) => (call.seq === 150 ? { ...call, pid: 666 } : call)));
    writer.seal({ skipped: { zap: 2 } });
    const forged: string[] = [];
    other.writeBundle(writer.traceId, { fromSeq: 100, toSeq: 200 }, (line) => forged.push(line));
    other.close();
    // The rows of the forged log with the links of the true one; then the checks of the forged one, too.
    const rows = forged.slice(1, 4097);
    expect(verify([lines[0]!, ...rows, ...lines.slice(4097)])).toMatchObject({ ok: false, seq: 150 });
    const link = { ...JSON.parse(lines[4097]!), row_checks: JSON.parse(forged[4097]!).row_checks };
    const mixed = [lines[0]!, ...rows, JSON.stringify(link), ...lines.slice(4098)];
    expect(verify(mixed)).toMatchObject({ ok: false, line: 4098, what: expect.stringContaining('link 0') });
    // A log that was forged as a whole is told by its newest hash alone.
    expect(verify(forged)).toMatchObject({ ok: true });
    expect(verify(forged)).not.toMatchObject({ chainHead: store.findTrace(1)!.chainHead });
  });
});
