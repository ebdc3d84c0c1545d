import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Area, areasOfMaps, createAddressSpace } from '../../src/cli/record/address-space.ts';

const PAGES = 40;

describe('the address space of a recorded process', () => {
  test('is what a table of pages says after any sequence of changes', () => {
    const step = fc.record({
      kind: fc.constantFrom('add', 'remove', 'protect', 'tell'),
      start: fc.nat(PAGES - 1),
      pages: fc.integer({ min: 1, max: 12 }),
      prot: fc.nat(7),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const space = createAddressSpace();
        const table: ({ prot: number; told: boolean } | null)[] = new Array(PAGES + 12).fill(null);
        for (const { kind, start, pages, prot } of steps) {
          const end = start + pages;
          if (kind === 'add') space.add({ start, end, prot, flags: 2, told: false });
          if (kind === 'remove') space.remove(start, end);
          if (kind === 'protect') space.protect(start, end, prot);
          const touched = kind === 'tell' ? space.tell(start, end) : [];
          for (let page = start; page < end; page += 1) {
            const before = table[page] ?? null;
            if (kind === 'add') table[page] = { prot, told: false };
            if (kind === 'remove') table[page] = null;
            if (kind === 'protect' && before !== null) table[page] = { ...before, prot };
          }
          // An area is told as a whole.
          for (const area of touched) {
            for (let page = area.start; page < area.end; page += 1)
              table[page] = { ...table[page]!, told: true };
          }
          const told = new Map<number, number>();
          for (const area of space.told()) {
            for (let page = area.start; page < area.end; page += 1) told.set(page, area.prot);
          }
          const expected = table.flatMap((page, index) => (page?.told ? [[index, page.prot]] : []));
          expect([...told]).toEqual(expected);
          for (let page = 0; page < table.length; page += 1) {
            expect(space.isTold(page, page + 1)).toBe(table[page]?.told === true);
          }
        }
      }),
      { seed: 20261120 },
    );
  });

  test('begins with what /proc says, without what the kernel maps for itself', () => {
    const text = [
      '55d0c4a00000-55d0c4a01000 r-xp 00000000 fe:00 131 /usr/bin/x y',
      '7f0000000000-7f0000004000 rw-s 00000000 00:01 9 /memfd:a (deleted)',
      '7ffd0f5f0000-7ffd0f5f4000 r--p 00000000 00:00 0 [vvar]',
      'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]',
      '',
    ].join('\n');
    const areas: Area[] = [
      { start: 0x55d0c4a00000, end: 0x55d0c4a01000, prot: 5, flags: 2, told: false },
      { start: 0x7f0000000000, end: 0x7f0000004000, prot: 3, flags: 1, told: false },
    ];
    expect(areasOfMaps(text)).toEqual(areas);
  });
});
