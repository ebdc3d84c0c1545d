import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPageTable, type PageTable, type TableEntry } from '../../../replay/hardware/page-table.ts';
import { READ, UNKNOWN_FRAME, WRITE } from '../../../replay/hardware/table-format.ts';
import { FORMATS } from './formats.ts';

/** A page table of any format against a plain map from pages to frames. */

interface MapStep {
  readonly page: number;
  readonly count: number;
  readonly frame: number;
  readonly prot: number;
}

/** Either a map, or the unmap of one that was made: its index among those there are. */
type Step = { readonly map: MapStep } | { readonly unmap: number };

const RUNS = 60;
/** Inside 39 bits, so that it is an address of every format. */
const MOST_PAGES = 2 ** 26;

/** Numbers that are often aligned to the sizes of pages, and often one beside. */
function nearSizes(most: number): fc.Arbitrary<number> {
  return fc
    .tuple(
      fc.constantFrom(1, 2, 8, 16, 512, 1024, 4096, 2 ** 18),
      fc.nat(),
      fc.constantFrom(0, 0, 0, 1, 15, 511),
    )
    .map(([unit, times, beside]) => ((times % Math.max(1, Math.floor(most / unit))) * unit + beside) % most);
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        map: fc.record({
          page: nearSizes(MOST_PAGES),
          count: nearSizes(2000).map((count) => count + 1),
          frame: fc.oneof(
            { weight: 5, arbitrary: nearSizes(2 ** 24).map((frame) => frame + 1) },
            { weight: 1, arbitrary: fc.constant(UNKNOWN_FRAME) },
          ),
          prot: fc.constantFrom(READ, WRITE, READ | WRITE),
        }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ unmap: fc.nat() }) },
  ),
  { maxLength: 25 },
);

interface Plain {
  readonly frames: Map<number, { readonly frame: number; readonly prot: number }>;
  readonly live: MapStep[];
}

/** Does the steps to both; a map over something mapped is left out, as iommufd refuses it. */
function run(table: PageTable, all: readonly Step[]): Plain {
  const plain: Plain = { frames: new Map(), live: [] };
  for (const step of all) {
    if ('unmap' in step) {
      const [gone] = plain.live.splice(plain.live.length === 0 ? 0 : step.unmap % plain.live.length, 1);
      if (gone === undefined) continue;
      table.unmap(gone.page, gone.count);
      for (let at = 0; at < gone.count; at += 1) plain.frames.delete(gone.page + at);
      continue;
    }
    const { page, count, frame, prot } = step.map;
    if (plain.live.some((other) => page < other.page + other.count && other.page < page + count)) continue;
    table.map(page, count, frame, prot);
    plain.live.push(step.map);
    for (let at = 0; at < count; at += 1) {
      plain.frames.set(page + at, { frame: frame === UNKNOWN_FRAME ? frame : frame + at, prot });
    }
  }
  return plain;
}

const key = (level: number, page: number): string => `${level}:${page}`;

/** Walks the words as hardware does, knowing nothing of how they were made. */
function walkWords(table: PageTable, words: Map<string, bigint>, page: number) {
  const { format } = table;
  for (let level = table.levels(); level > 0; level -= 1) {
    const item = 2 ** (format.itemShift(level) - 12);
    const word = words.get(key(level, page - (page % item)));
    const parsed = word === undefined ? ({ kind: 'empty' } as const) : format.parse(word, level);
    if (parsed.kind === 'table') continue;
    if (parsed.kind !== 'leaf') return parsed;
    const { frame, prot, shift } = parsed;
    return { kind: 'leaf', frame: frame + (page % 2 ** (shift - 12)), prot } as const;
  }
  throw new Error('the last level holds a table');
}

/** Pages around every edge of what was mapped. */
function edges({ live }: Plain): number[] {
  return live.flatMap(({ page, count }) =>
    [page - 1, page, page + 1, page + (count >> 1), page + count - 1, page + count].filter((at) => at >= 0),
  );
}

describe.each(Object.keys(FORMATS))('a page table of %s', (name) => {
  const format = FORMATS[name]!;

  test('translates as a plain map does, by its own walk and by its words', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const table = createPageTable(format);
        const plain = run(table, all);
        const entries = [...table.entries(0, Number.MAX_SAFE_INTEGER)];
        const words = new Map(entries.map(({ level, page, word }) => [key(level, page), word.value]));
        expect(words.size).toBe(entries.length);
        for (const page of edges(plain)) {
          const expected = plain.frames.get(page);
          const found = walkWords(table, words, page);
          const walked = table.walk(page, 'r');
          if (expected === undefined) {
            expect(found.kind).toBe('empty');
            expect(['not-present', 'outside']).toContain(walked.fault);
            continue;
          }
          const granted = table.grants(expected.prot);
          expect(granted & expected.prot).toBe(expected.prot);
          expect(found).toMatchObject({ kind: 'leaf', prot: granted });
          const isReadable = (granted & READ) !== 0;
          expect(walked).toMatchObject({
            fault: isReadable ? null : 'not-readable',
            frame: isReadable ? expected.frame : null,
          });
          if (expected.frame !== UNKNOWN_FRAME) expect(found).toMatchObject({ frame: expected.frame });
        }
        expect(leafPages(entries, format.itemShift)).toBe(plain.frames.size);
      }),
      { numRuns: RUNS, seed: 5 },
    );
  });

  test('shows of a range just the entries that translate it', () => {
    fc.assert(
      fc.property(steps, nearSizes(MOST_PAGES), nearSizes(5000), (all, first, length) => {
        const table = createPageTable(format);
        run(table, all);
        const last = first + length;
        const whole = [...table.entries(0, Number.MAX_SAFE_INTEGER)].filter(({ level, page }) => {
          return page <= last && page + 2 ** (format.itemShift(level) - 12) > first;
        });
        expect([...table.entries(first, last)]).toEqual(whole);
      }),
      { numRuns: RUNS, seed: 6 },
    );
  });

  test('is empty of leaves after every map was unmapped, and of tables after one unmap of all', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const table = createPageTable(format);
        for (const { page, count } of run(table, all).live) table.unmap(page, count);
        const left = [...table.entries(0, Number.MAX_SAFE_INTEGER)];
        expect(left.filter(({ kind }) => kind === 'leaf')).toEqual([]);
        table.unmap(0, 2 ** (format.itemShift(table.levels()) - 12 + format.indexBits(table.levels())));
        expect([...table.entries(0, Number.MAX_SAFE_INTEGER)]).toEqual([]);
      }),
      { numRuns: RUNS, seed: 7 },
    );
  });
});

function leafPages(entries: readonly TableEntry[], itemShift: (level: number) => number): number {
  return entries
    .filter(({ kind }) => kind === 'leaf')
    .reduce((sum, { level }) => sum + 2 ** (itemShift(level) - 12), 0);
}
