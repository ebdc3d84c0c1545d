import { describe, expect, test } from 'vitest';
import { type ArmGeometry, armGeometry } from '../../../replay/hardware/formats/arm-lpae.ts';
import { stage2Geometry } from '../../../replay/hardware/formats/arm-stage2.ts';
import { invalidateRange, type TlbRange } from '../../../replay/hardware/smmu-commands.ts';
import { contextDescriptor } from '../../../replay/hardware/smmu-context-descriptor.ts';
import { CONTEXT_ENTRY, countWrites, STREAM_ENTRY } from '../../../replay/hardware/smmu-entry-write.ts';
import { featuresOf, type SmmuFeatures } from '../../../replay/hardware/smmu-features.ts';
import {
  abortEntry,
  BYPASSES,
  bypassEntry,
  guestEntry,
  nestedEntry,
  type SmmuStream,
  stage1Entry,
  stage2Entry,
} from '../../../replay/hardware/smmu-stream-table.ts';
import type { Word } from '../../../replay/hardware/table-format.ts';

/** Words of stream table entries, context descriptors and commands, where the recorded machines are not. */

/** The registers of the recorded SMMU with both stages. */
const FEATURES = featuresOf([0x0d44101b, 0x02730010, 0, 0x1414, 0, 0x74]);
const STREAM: SmmuStream = { features: FEATURES, substreamBits: 0, ats: false };
const SIZES_4K = 0x4020_1000n;

function geometry(pageSizes: bigint, inputBits = 48, outputBits = 44): ArmGeometry {
  return armGeometry({ pageSizes, inputBits, outputBits })!;
}

function values(words: readonly Word[], count: number): string[] {
  return words.slice(0, count).map(({ value }) => `0x${value.toString(16)}`);
}

function holds(words: readonly Word[]): string[] {
  return words.flatMap(({ unknown }) => unknown.map((part) => part.holds));
}

describe('a stream table entry', () => {
  test('of a blocked device is abort and nothing else', () => {
    expect(values(abortEntry(), 8)).toEqual(['0x1', ...Array.from({ length: 7 }, () => '0x0')]);
  });

  test('of the identity domain takes incoming shareability where attributes can be overridden', () => {
    expect(values(bypassEntry(STREAM), 2)).toEqual(['0x9', '0x0']);
    const overriding = { features: { ...FEATURES, overridesAttributes: true } };
    expect(values(bypassEntry(overriding), 2)).toEqual(['0x9', '0x100000000000']);
  });

  test('of stage 1 names the pointer that it leaves open, and EATS where ATS may be on', () => {
    expect(values(stage1Entry(STREAM), 3)).toEqual(['0xb', '0xd6', '0x0']);
    expect(holds(stage1Entry(STREAM))).toEqual(['S1ContextPtr']);
    expect(holds(stage1Entry({ ...STREAM, ats: null }))).toEqual(['S1ContextPtr', 'EATS']);
  });

  test('of a device with 20 bits of PASIDs has descriptor tables of two levels where it can', () => {
    const wide = { ...STREAM, substreamBits: 20 };
    expect(values(stage1Entry(wide), 1)).toEqual(['0xa00000000000000b']);
    const twoLevels = { ...wide, features: { ...FEATURES, twoLevelContexts: true } };
    expect(values(stage1Entry(twoLevels), 1)).toEqual(['0xa00000000000002b']);
  });

  test('of an SMMU that can stall says that it must not', () => {
    const stalling = { ...STREAM, features: { ...FEATURES, stalls: true } };
    expect(values(stage1Entry(stalling), 2)[1]).toBe('0x80000d6');
  });

  test('of a nested table keeps all but the configuration of what the guest gave, and merges events', () => {
    const parent = {
      geometry: stage2Geometry({ pageSizes: SIZES_4K, inputBits: 44, outputBits: 44 }, 703)!,
      vmid: 1,
      forcesWriteBack: false,
    };
    const data = new Uint8Array(16);
    new DataView(data.buffer).setBigUint64(0, 0x4000_000bn, true);
    new DataView(data.buffer).setBigUint64(8, 0x1000_00d4n, true);
    const words = nestedEntry(STREAM, parent, guestEntry(data));
    expect(values(words, 3)).toEqual(['0x4000000f', '0x800d4', '0x44c359400000001']);
    const mayHaveAts = nestedEntry({ ...STREAM, ats: null }, parent, guestEntry(data));
    expect(holds(mayHaveAts)).toEqual(['EATS', 'S2TTB']);
  });
});

describe('the walk of stage 2', () => {
  const vtcr = (pageSizes: bigint, bits: number, kernel: number): string => {
    const made = stage2Geometry({ pageSizes, inputBits: bits, outputBits: bits }, kernel)!;
    const words = stage2Entry(STREAM, { geometry: made, vmid: 0, forcesWriteBack: false });
    const fields = ((words[2]!.value >> 32n) & 0x7ffffn).toString(16);
    return `${made.levels} levels, ${made.rootBits} bits, 0x${fields}`;
  };

  test.each([
    ['4K pages, 44 bits', 0x1000n, 44, 703, '4 levels, 5 bits, 0x43594'],
    ['4K pages, 40 bits: two tables side by side', 0x1000n, 40, 703, '3 levels, 10 bits, 0x23558'],
    ['4K pages, 42 bits: eight tables', 0x1000n, 42, 703, '3 levels, 12 bits, 0x33556'],
    ['16K pages, 48 bits: two tables', 0x4000n, 48, 703, '3 levels, 12 bits, 0x5b590'],
    ['16K pages, 40 bits: sixteen tables', 0x4000n, 40, 703, '2 levels, 15 bits, 0x2b558'],
    ['16K pages, 44 bits', 0x4000n, 44, 703, '3 levels, 8 bits, 0x4b594'],
    ['64K pages, 44 bits', 0x10000n, 44, 703, '3 levels, 2 bits, 0x47594'],
  ])('with %s', (_what, pageSizes, bits, kernel, expected) => {
    expect(vtcr(pageSizes, bits, kernel)).toBe(expected);
  });

  test('joined up to sixteen tables whatever the physical addresses, until 6.12', () => {
    const sizes = { pageSizes: 0x1000n, inputBits: 43, outputBits: 44 };
    const { levels, rootBits } = stage2Geometry(sizes, 612)!;
    expect({ levels, rootBits }).toEqual({ levels: 3, rootBits: 13 });
    expect(stage2Geometry(sizes, 703)!.levels).toBe(4);
  });
});

describe('a context descriptor', () => {
  const first = (made: ArmGeometry, over: Partial<Parameters<typeof contextDescriptor>[0]> = {}): string =>
    values(
      contextDescriptor({ geometry: made, coherent: true, asid: 5, tracksDirty: false, ...over }),
      1,
    )[0]!;

  test.each([
    ['4K', geometry(SIZES_4K), '0x5e204c0003510'],
    ['16K', geometry(0x200_4000n), '0x5e204c0003590'],
    ['64K', geometry(0x2001_0000n), '0x5e204c0003550'],
  ])('of %s pages names their granule', (_what, made, expected) => {
    expect(first(made)).toBe(expected);
  });

  test('of a domain that tracks dirty pages lets the hardware set access flag and dirty state', () => {
    expect(first(geometry(SIZES_4K), { tracksDirty: true })).toBe('0x5ee04c0003510');
  });

  test('of an SMMU that does not snoop walks outer shareable memory without caching', () => {
    expect(first(geometry(SIZES_4K), { coherent: false })).toBe('0x5e204c0002010');
  });
});

/** What the kernel's own tests of arm_smmu_write_entry expect (arm-smmu-v3-test.c). */
describe('changing an entry', () => {
  const features: SmmuFeatures = { ...FEATURES, overridesAttributes: true, stalls: true };
  const stream: SmmuStream = { features, substreamBits: 0, ats: true };
  const raw = (words: readonly Word[], address = 0xf0f0_f0f0_f0f0n): bigint[] =>
    words.map(({ value, unknown }) => unknown.reduce((sum, { mask }) => sum | (address & mask), value));
  const parent = { geometry: geometry(SIZES_4K), vmid: 0, forcesWriteBack: false };
  const entries = {
    abort: raw(abortEntry()),
    bypass: raw(bypassEntry(stream)),
    stage1: raw(stage1Entry(stream)),
    stage1Bypass: raw(stage1Entry(stream, BYPASSES)),
    elsewhere: raw(stage1Entry(stream, BYPASSES), 0x4b4b_4b40n),
    stage2: raw(stage2Entry(stream, parent)),
  };

  test.each([
    ['bypass', 'abort', 2],
    ['abort', 'bypass', 2],
    ['stage1', 'abort', 2],
    ['abort', 'stage1', 2],
    ['stage1', 'bypass', 3],
    ['bypass', 'stage1', 3],
    ['stage1', 'stage1Bypass', 1],
    ['stage1Bypass', 'stage1', 1],
    ['stage1Bypass', 'bypass', 2],
    ['bypass', 'stage1Bypass', 2],
    ['stage2', 'abort', 2],
    ['abort', 'stage2', 2],
    ['stage2', 'bypass', 2],
    ['bypass', 'stage2', 2],
    ['stage1', 'stage2', 3],
    ['stage2', 'stage1', 3],
    ['stage1', 'elsewhere', 3],
    ['stage1', 'stage1', 0],
  ] as const)('from %s to %s takes %i invalidations', (from, to, writes) => {
    expect(countWrites(STREAM_ENTRY, entries[from], entries[to])).toBe(writes);
  });

  test('of a context descriptor takes two to make or clear it, one for another ASID', () => {
    const context = (asid: number): bigint[] =>
      raw(contextDescriptor({ geometry: geometry(SIZES_4K), coherent: true, asid, tracksDirty: false }));
    const nothing = Array.from({ length: 8 }, () => 0n);
    expect(countWrites(CONTEXT_ENTRY, nothing, context(1997))).toBe(2);
    expect(countWrites(CONTEXT_ENTRY, context(1997), nothing)).toBe(2);
    expect(countWrites(CONTEXT_ENTRY, context(778), context(1997))).toBe(1);
  });
});

describe('invalidating a range', () => {
  const tag = { stage: 1, id: 5 } as const;
  const range = (over: Partial<TlbRange>): TlbRange => ({
    iova: 0x2000,
    bytes: 0x5000,
    granuleShift: 12,
    pageShift: 12,
    leaf: true,
    ...over,
  });
  const words = (features: SmmuFeatures, over: Partial<TlbRange>): string[] =>
    invalidateRange(features, tag, range(over)).map(({ words: pair }) => values(pair, 2).join(' '));
  const plain = { ...FEATURES, invalidatesRanges: false };

  test('takes one command for 5 pages, two for 33', () => {
    expect(words(FEATURES, {})).toEqual(['0x5000000004012 0x2701']);
    expect(words(FEATURES, { bytes: 33 * 4096 })).toEqual([
      '0x5000000000012 0x2701',
      '0x5000000500012 0x3701',
    ]);
  });

  test('of a table asks for two pages where there is one', () => {
    expect(words(FEATURES, { bytes: 4096, leaf: false })).toEqual(['0x5000000100012 0x2400']);
  });

  test('covers every page of it once', () => {
    for (const pages of [1, 2, 31, 32, 33, 63, 511, 512, 1000, 70_001]) {
      const commands = invalidateRange(FEATURES, tag, range({ bytes: pages * 4096 }));
      const covered = commands.reduce((sum, { words: [head] }) => {
        const chunks = Number((head.value >> 12n) & 0x1fn) + 1;
        return sum + chunks * 2 ** Number((head.value >> 20n) & 0x1fn);
      }, 0);
      expect(covered).toBe(pages);
    }
  });

  test('without range commands takes one for each page, or one for all when there are many', () => {
    expect(words(plain, { bytes: 0x2000 })).toEqual(['0x5000000000012 0x2001', '0x5000000000012 0x3001']);
    expect(words(plain, { bytes: 512 * 4096 })).toEqual(['0x5000000000011 0x0']);
  });
});
