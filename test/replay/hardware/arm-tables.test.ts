import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { armGeometry } from '../../../replay/hardware/formats/arm-lpae.ts';
import { armStage1 } from '../../../replay/hardware/formats/arm-stage1.ts';
import { armStage2, stage2Geometry } from '../../../replay/hardware/formats/arm-stage2.ts';
import { createPageTable, type PageTable } from '../../../replay/hardware/page-table.ts';
import { READ, type TableFormat, UNKNOWN_FRAME, WRITE } from '../../../replay/hardware/table-format.ts';
import { createRadix, type Radix, type RadixEntry } from './arm-radix.ts';

/** Arm's page tables of every granule: against a plain map, and against tables built entry by entry. */

const SIZES = { '4K': 0x4020_1000n, '16K': 0x200_4000n, '64K': 0x2001_0000n } as const;

function stage1(pageSizes: bigint, inputBits = 48): TableFormat {
  return armStage1(armGeometry({ pageSizes, inputBits, outputBits: 44 })!);
}

function stage2(pageSizes: bigint, bits: number): TableFormat {
  return armStage2(stage2Geometry({ pageSizes, inputBits: bits, outputBits: bits }, 703)!);
}

const FORMATS: Readonly<Record<string, TableFormat>> = {
  'stage 1, 4K': stage1(SIZES['4K']),
  'stage 1, 16K': stage1(SIZES['16K']),
  'stage 1, 64K': stage1(SIZES['64K']),
  'stage 1, 4K, 39 bits': stage1(SIZES['4K'], 39),
  'stage 2, 4K, 44 bits': stage2(SIZES['4K'], 44),
  'stage 2, 4K, 40 bits, two tables side by side': stage2(SIZES['4K'], 40),
  'stage 2, 16K, 40 bits, sixteen side by side': stage2(SIZES['16K'], 40),
  'stage 2, 16K, 48 bits, two side by side': stage2(SIZES['16K'], 48),
  'stage 2, 64K, 44 bits': stage2(SIZES['64K'], 44),
};

/** A map in units of the smallest page. */
interface MapStep {
  readonly unit: number;
  readonly count: number;
  readonly frame: number;
  readonly prot: number;
}

type Step = { readonly map: MapStep } | { readonly unmap: number };

/** Numbers that are often aligned to the sizes of blocks, and often one beside. */
function nearBlocks(most: number): fc.Arbitrary<number> {
  return fc
    .tuple(fc.constantFrom(1, 16, 512, 2048, 8192, 2 ** 18), fc.nat(), fc.constantFrom(0, 0, 0, 1, 511, 2047))
    .map(([unit, times, beside]) => ((times % Math.max(1, Math.floor(most / unit))) * unit + beside) % most);
}

const UNITS = 2 ** 20;

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        map: fc.record({
          unit: nearBlocks(UNITS),
          count: nearBlocks(9000).map((count) => count + 1),
          frame: nearBlocks(2 ** 22).map((frame) => frame + 1),
          prot: fc.constantFrom(READ, WRITE, READ | WRITE),
        }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ unmap: fc.nat() }) },
  ),
  { maxLength: 16 },
);

interface Built {
  readonly table: PageTable;
  readonly radix: Radix;
  readonly live: MapStep[];
}

const NO_RADIX: Radix = { map: () => {}, unmap: () => {}, entries: () => [] };

/** Does the steps to both; a map over something mapped is left out, as iommufd refuses it. */
function build(format: TableFormat, all: readonly Step[], radix = createRadix(format)): Built {
  const built: Built = { table: createPageTable(format), radix, live: [] };
  const unitPages = 2 ** (format.itemShift(1) - 12);
  for (const step of all) {
    if ('unmap' in step) {
      const at = built.live.length === 0 ? 0 : step.unmap % built.live.length;
      const [gone] = built.live.splice(at, 1);
      if (gone === undefined) continue;
      for (const each of [built.table, built.radix])
        each.unmap(gone.unit * unitPages, gone.count * unitPages);
      continue;
    }
    const { unit, count, frame, prot } = step.map;
    if (built.live.some((other) => unit < other.unit + other.count && other.unit < unit + count)) continue;
    for (const each of [built.table, built.radix])
      each.map(unit * unitPages, count * unitPages, frame * unitPages, prot);
    built.live.push(step.map);
  }
  return built;
}

/**
 * The first entry that only one has, or that differs; null when there is none. Deep equality takes too long.
 */
function firstDifference(ours: readonly RadixEntry[], theirs: readonly RadixEntry[]): unknown {
  const count = Math.max(ours.length, theirs.length);
  for (let at = 0; at < count; at += 1) {
    const [a, b] = [ours[at], theirs[at]];
    const isSame =
      a !== undefined &&
      b !== undefined &&
      a.level === b.level &&
      a.index === b.index &&
      a.page === b.page &&
      a.word.value === b.word.value &&
      a.word.unknown[0]?.mask === b.word.unknown[0]?.mask;
    if (!isSame) return { at, ours: a, theirs: b };
  }
  return null;
}

describe.each(Object.entries(FORMATS))('tables of %s', (_name, format) => {
  const unitPages = 2 ** (format.itemShift(1) - 12);

  test('have the entries that the driver would have made one by one, empty tables too', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const { table, radix } = build(format, all);
        expect(firstDifference([...table.entries(0, Number.MAX_SAFE_INTEGER)], radix.entries())).toBeNull();
      }),
      { numRuns: 15 },
    );
  });

  test('translate as a plain map of intervals does', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const { table, live } = build(format, all, NO_RADIX);
        for (const { unit, count } of live) {
          for (const at of [unit - 1, unit, unit + (count >> 1), unit + count - 1, unit + count]) {
            if (at < 0) continue;
            const owner = live.find((each) => each.unit <= at && at < each.unit + each.count);
            const page = at * unitPages + (unitPages - 1);
            const frame = owner === undefined ? null : (owner.frame + at - owner.unit + 1) * unitPages - 1;
            const readable = owner !== undefined && (table.grants(owner.prot) & READ) !== 0;
            expect(table.walk(page, 'r').frame).toBe(readable ? frame : null);
            const writable = owner !== undefined && (owner.prot & WRITE) !== 0;
            expect(table.walk(page, 'w').frame).toBe(writable ? frame : null);
          }
        }
      }),
      { numRuns: 25 },
    );
  });

  test('hold words that say what was put into them', () => {
    for (const size of format.leafSizes) {
      const frame = 2 ** (size.shift - 12) * 3;
      for (const prot of [READ, WRITE, READ | WRITE]) {
        const parsed = format.parse(format.leafWord(frame, prot, size, 0).value, size.level);
        const isStage1 = format.name.startsWith('smmu-s1');
        const granted = isStage1 && prot === WRITE ? READ | WRITE : prot;
        expect(parsed).toEqual({ kind: 'leaf', frame, prot: granted, shift: size.shift });
      }
      const unknown = format.leafWord(UNKNOWN_FRAME, READ, size, 0);
      expect(unknown.unknown.map(({ holds }) => holds)).toEqual(['page address']);
      expect(unknown.unknown[0]!.mask & ((1n << BigInt(size.shift)) - 1n)).toBe(0n);
    }
  });
});

test.each([
  ['4K', 2 ** 27, 2 ** 18],
  ['16K', 2 ** 26, 2 ** 13],
  ['64K', 2 ** 26, 2 ** 17],
] as const)(
  'an unmap of more than the largest block of %s keeps the tables of the blocks',
  (name, count, block) => {
    const format = FORMATS[`stage 1, ${name}`]!;
    const table = createPageTable(format);
    const radix = createRadix(format);
    for (const each of [table, radix]) {
      each.map(0, count, 4 * block, READ);
      each.unmap(0, count);
    }
    const left = radix.entries();
    expect(left).not.toEqual([]);
    expect(firstDifference([...table.entries(0, Number.MAX_SAFE_INTEGER)], left)).toBeNull();
  },
);

describe('an entry', () => {
  const [page] = FORMATS['stage 1, 4K']!.leafSizes;
  const { leafWord, parse, itemShift } = FORMATS['stage 1, 4K']!;

  test('of a domain that tracks dirty pages is writable; hardware marks it as written', () => {
    const tracked = armStage1(
      armGeometry({ pageSizes: 0x1000n, inputBits: 48, outputBits: 44 })!,
      true,
      true,
    );
    const word = tracked.leafWord(1, READ | WRITE, page!, 0);
    expect(word).toEqual({ value: 0x8000000001f47n, unknown: [{ mask: 0x80n, holds: 'dirty' }] });
    expect(tracked.leafWord(1, READ, page!, 0)).toEqual({ value: 0x1fc7n, unknown: [] });
  });

  test('of a nest parent forces write-back where the SMMU can', () => {
    const geometry = stage2Geometry({ pageSizes: 0x1000n, inputBits: 44, outputBits: 44 }, 703)!;
    expect(armStage2(geometry, true, true).leafWord(1, READ | WRITE, page!, 0).value).toBe(0x17dbn);
  });

  test('of a table that hardware reads past the caches is marked as written back', () => {
    const geometry = armGeometry({ pageSizes: 0x1000n, inputBits: 48, outputBits: 44 })!;
    expect(armStage1(geometry, false).tableWord(2).value).toBe((1n << 55n) | 3n);
  });

  test('that no hardware takes is reserved: a block at the last level or at the first', () => {
    expect(parse(0x1f45n, 1).kind).toBe('reserved');
    expect(parse(1n, 4).kind).toBe('reserved');
    expect(parse(0x1f46n, 1).kind).toBe('empty');
    expect(itemShift(4)).toBe(39);
  });

  test('with 52-bit addresses keeps their upper bits at 15:12', () => {
    const geometry = armGeometry({ pageSizes: 0x10000n, inputBits: 48, outputBits: 52 })!;
    const format = armStage1(geometry);
    const frame = 0xf_8000_0001_0000 / 4096;
    const { value } = format.leafWord(frame, READ, { shift: 16, level: 1, slots: 1 }, 0);
    expect(value).toBe(0x8000_0001_ffc7n);
    expect(format.parse(value, 1)).toMatchObject({ frame, shift: 16 });
    expect(leafWord(frame, READ, page!, 0).value).toBeGreaterThan(0n);
  });
});
