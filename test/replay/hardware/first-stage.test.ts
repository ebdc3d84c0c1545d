import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  armRules,
  type FirstStageRules,
  walkFirstStage,
  x86Rules,
} from '../../../replay/hardware/first-stage.ts';
import { armGeometry } from '../../../replay/hardware/formats/arm-lpae.ts';
import { armStage1 } from '../../../replay/hardware/formats/arm-stage1.ts';
import { guestX86 } from '../../../replay/hardware/formats/index.ts';
import type { GuestMemory, GuestPage } from '../../../replay/hardware/guest-memory.ts';
import { createPageTable, type PageTable } from '../../../replay/hardware/page-table.ts';
import { READ, type TableFormat, WRITE } from '../../../replay/hardware/table-format.ts';
import { makeFormat } from './formats.ts';

/** Tables that a guest wrote into its own memory, walked through a second stage, against a plain map. */

const GUEST_BYTES = 2 ** 30;
const ROOT = 0x10_0000n;

/** Memory that is written as a guest does: words at its own addresses. */
function createGuest() {
  const pages = new Map<number, { bytes: Uint8Array; known: Uint8Array; seq: number }>();
  const pageOf = (page: number) => {
    let own = pages.get(page);
    if (own === undefined) {
      own = { bytes: new Uint8Array(4096), known: new Uint8Array(4096).fill(1), seq: 7 };
      pages.set(page, own);
    }
    return own;
  };
  const memory: GuestMemory = { page: (page): GuestPage => pageOf(page) };
  const view = (at: bigint) => new DataView(pageOf(Number(at >> 12n)).bytes.buffer);
  return {
    memory,
    pages,
    read: (at: bigint): bigint => view(at).getBigUint64(Number(at & 4095n), true),
    write: (at: bigint, word: bigint): void => view(at).setBigUint64(Number(at & 4095n), word, true),
  };
}

type Guest = ReturnType<typeof createGuest>;

/** One leaf of the guest. */
interface Leaf {
  readonly page: number;
  readonly size: number;
  readonly frame: number;
  readonly prot: number;
}

/** Writes a leaf and the tables on the way to it; tables come one behind the other after the root. */
function writeLeaf(guest: Guest, rules: FirstStageRules, leaf: Leaf, tables: { next: bigint }): void {
  const { format, levels } = rules;
  const size = format.leafSizes[leaf.size]!;
  const tableBytes = 8n << BigInt(format.indexBits(1));
  let base = ROOT;
  for (let level = levels; level > size.level; level -= 1) {
    const at = base + indexOf(format, level, leaf.page) * 8n;
    if (guest.read(at) === 0n) {
      guest.write(at, format.tableWord(level).value | tables.next);
      tables.next += tableBytes;
    }
    base = format.tableAddress(guest.read(at), level);
  }
  const word = format.leafWord(leaf.frame, leaf.prot, size, 0).value;
  guest.write(base + indexOf(format, size.level, leaf.page) * 8n, word);
}

function indexOf(format: TableFormat, level: number, page: number): bigint {
  const iova = BigInt(page) << 12n;
  return (iova >> BigInt(format.itemShift(level))) % (1n << BigInt(format.indexBits(level)));
}

/** The second stage of all the guest's memory, in pages that lie the other way round. */
function secondStage(prot = READ | WRITE): PageTable {
  const table = createPageTable(makeFormat('vtd-ss', { pageSizes: 4096n }));
  table.map(0, GUEST_BYTES / 4096, 0x100000, prot);
  return table;
}

const arm = (pageSizes: bigint, inputBits: number): FirstStageRules =>
  armRules(armStage1(armGeometry({ pageSizes, inputBits, outputBits: 44 })!), inputBits, false);

const RULES: Readonly<Record<string, FirstStageRules>> = {
  'x86, 4 levels': x86Rules(guestX86(4), 4),
  'x86, 5 levels': x86Rules(guestX86(5), 5),
  'Arm, 4K, 39 bits': arm(0x4020_1000n, 39),
  'Arm, 4K, 48 bits': arm(0x4020_1000n, 48),
  'Arm, 16K, 47 bits': arm(0x200_4000n, 47),
  'Arm, 64K, 42 bits': arm(0x2001_0000n, 42),
};

describe.each(Object.entries(RULES))("a guest's tables of %s", (_name, rules) => {
  const { format } = rules;
  /** Leaves that do not overlap: one in each span of the largest size. */
  const sizes = format.leafSizes.slice(0, 2);
  const leaves: fc.Arbitrary<Leaf[]> = fc
    .uniqueArray(
      fc.record({
        block: fc.nat(40),
        size: fc.nat(sizes.length - 1),
        frame: fc.nat(2 ** 8 - 1),
        prot: fc.constantFrom(READ, READ | WRITE),
      }),
      { selector: ({ block }) => block, maxLength: 12 },
    )
    .map((all) =>
      all.map(({ block, size, frame, prot }) => {
        const span = 2 ** (sizes.at(-1)!.shift - 12);
        const own = 2 ** (sizes[size]!.shift - 12);
        return { page: block * span * 3, size, frame: (frame * own) % (GUEST_BYTES / 4096), prot };
      }),
    );

  test('translate as a plain map does', () => {
    fc.assert(
      fc.property(leaves, (all) => {
        const guest = createGuest();
        const tables = { next: ROOT + 0x10000n };
        for (const leaf of all) writeLeaf(guest, rules, leaf, tables);
        const below = { table: secondStage(), memory: guest.memory };
        for (const { page, size } of all) {
          const count = 2 ** (sizes[size]!.shift - 12);
          for (const at of [page - 1, page, page + count - 1, page + count]) {
            if (at < 0) continue;
            const owner = all.find(
              (each) => each.page <= at && at < each.page + 2 ** (sizes[each.size]!.shift - 12),
            );
            for (const access of ['r', 'w'] as const) {
              const iova = (BigInt(at) << 12n) + 0x123n;
              const result = walkFirstStage(below, rules, ROOT, iova, access, []);
              if (owner === undefined) expect(result).toEqual({ kind: 'fault', fault: 'not-present' });
              else if (access === 'w' && (owner.prot & WRITE) === 0)
                expect(result).toEqual({ kind: 'fault', fault: 'not-writable' });
              else {
                const ipa = (BigInt(owner.frame + at - owner.page) << 12n) + 0x123n;
                expect(result).toEqual({ kind: 'ipa', ipa, shift: sizes[owner.size]!.shift });
              }
            }
          }
        }
      }),
      { numRuns: 40, seed: 21 },
    );
  });

  test('end where the second stage ends, and where the trace holds nothing', () => {
    const guest = createGuest();
    writeLeaf(guest, rules, { page: 0, size: 0, frame: 5, prot: READ }, { next: ROOT + 0x10000n });
    const walk = (table: PageTable, memory = guest.memory) =>
      walkFirstStage({ table, memory }, rules, ROOT, 0n, 'r', []);
    expect(walk(secondStage())).toMatchObject({ kind: 'ipa' });
    const holed = secondStage();
    holed.unmap(Number(ROOT >> 12n), 1);
    expect(walk(holed)).toEqual({ kind: 'second-stage', fault: 'not-present', isTop: true });
    const nothing: GuestMemory = {
      page: () => ({ bytes: new Uint8Array(4096), known: new Uint8Array(4096), seq: 0 }),
    };
    expect(walk(secondStage(), nothing)).toEqual({ kind: 'missing', ipa: ROOT });
  });
});

describe('the tables of x86', () => {
  const rules = RULES['x86, 4 levels']!;
  const walk = (change: (word: bigint) => bigint, access: 'r' | 'w' = 'r', prot = READ | WRITE) => {
    const guest = createGuest();
    writeLeaf(guest, rules, { page: 0, size: 0, frame: 5, prot: READ | WRITE }, { next: ROOT + 0x10000n });
    guest.write(ROOT, change(guest.read(ROOT)));
    return walkFirstStage({ table: secondStage(prot), memory: guest.memory }, rules, ROOT, 0n, access, []);
  };

  test('deny to all below them what they deny', () => {
    expect(walk((word) => word & ~2n, 'w')).toEqual({ kind: 'fault', fault: 'not-writable' });
    expect(walk((word) => word & ~2n)).toMatchObject({ kind: 'ipa' });
    expect(walk((word) => word & ~4n)).toEqual({ kind: 'fault', fault: 'supervisor' });
  });

  test('are marked as used, which the second stage must allow', () => {
    expect(walk((word) => word & ~0x20n, 'r', READ)).toEqual({
      kind: 'second-stage',
      fault: 'not-writable',
      isTop: true,
    });
    expect(walk((word) => word & ~0x20n)).toMatchObject({ kind: 'ipa' });
    expect(walk((word) => word | 0x20n, 'r', READ)).toMatchObject({ kind: 'ipa' });
  });

  test('span addresses of which the upper bits are copies of the highest', () => {
    const guest = createGuest();
    const at = (iova: bigint) =>
      walkFirstStage({ table: secondStage(), memory: guest.memory }, rules, ROOT, iova, 'r', []);
    expect(at(1n << 47n)).toEqual({ kind: 'fault', fault: 'not-canonical' });
    expect(at((1n << 47n) - 1n)).toEqual({ kind: 'fault', fault: 'not-present' });
    expect(at(0xffff_8000_0000_0000n)).toEqual({ kind: 'fault', fault: 'not-present' });
  });
});
