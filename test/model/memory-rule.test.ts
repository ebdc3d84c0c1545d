import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noteRules, parseRule } from '../../src/model/memory-rule.ts';
import { knownBytes, loadBytes, storeBytes } from '../../src/model/user-bytes.ts';
import { createSpace, createUserMemory, setRange } from '../../src/model/user-memory.ts';

/** Memory of which a marker tells the bytes by a rule. */

const PAGE = 4096;
const FIRST = 0x100;
const ADDRESS = '0x100000';

/** A mapping of four pages at ADDRESS, of which the text tells. */
function told(text: string) {
  const memory = createUserMemory();
  const mm = createSpace(memory);
  const flags = { readable: true, writable: true, shared: false, huge: false, device: false };
  const backing = { object: 9, objectPage: 5, ...flags };
  setRange(memory, mm, { firstPage: FIRST, lastPage: FIRST + 3, backing });
  noteRules(memory, mm, text);
  return { memory, mm };
}

describe('a rule in a marker', () => {
  test('tells of every byte of the mapping at its address', () => {
    const { memory, mm } = told(`seed 1; buf ${ADDRESS} byte[i]=(i*31+(i>>12))&255, huge 0x9000 all 0x77`);
    const { bytes, known } = loadBytes(memory, mm, FIRST + 1, 100, 2 * PAGE);
    expect(known).toBeNull();
    expect([...bytes]).toEqual(
      Array.from({ length: 2 * PAGE }, (_, at) => {
        const i = PAGE + 100 + at;
        return (i * 31 + (i >> 12)) & 255;
      }),
    );
  });

  test('holds until somebody writes, and for the bytes beside what was written', () => {
    const { memory, mm } = told(`all of it ${ADDRESS} all 0x77`);
    storeBytes(memory, mm, FIRST + 3, 8, knownBytes(Uint8Array.of(1, 2)));
    expect([...loadBytes(memory, mm, FIRST + 3, 7, 4).bytes]).toEqual([0x77, 1, 2, 0x77]);
  });

  test.each([
    ['no mapping begins there', 'buf 0x101000 all 1'],
    ['it is no expression', `buf ${ADDRESS} byte[i]=f(i)`],
    ['a parenthesis is missing', `buf ${ADDRESS} byte[i]=(i`],
    ['an operand is missing', `buf ${ADDRESS} byte[i]=i+`],
    ['it goes on in words', `buf ${ADDRESS} all 4 of them`],
  ])('is for people only where %s', (_, text) => {
    const { memory, mm } = told(text);
    expect(memory.ruled).toEqual([]);
    expect(loadBytes(memory, mm, FIRST, 0, 1).known).not.toBeNull();
  });

  test('is computed as C and JavaScript compute it', () => {
    const number = fc.nat(0xffff).map(String);
    const { expression } = fc.letrec<{ expression: string; operand: string }>((tie) => ({
      operand: fc.oneof(
        { depthSize: 'small' },
        number,
        fc.constant('i'),
        tie('expression').map((inner) => `(${inner})`),
      ),
      expression: fc
        .tuple(
          tie('operand'),
          fc.array(fc.tuple(fc.constantFrom('+', '-', '&', '|', '^', '*'), tie('operand')), { maxLength: 3 }),
        )
        .map(([first, more]) => first + more.map(([operator, operand]) => operator + operand).join('')),
    }));
    fc.assert(
      fc.property(expression, fc.nat(0xffff), (text, i) => {
        const truth = new Function('i', `return (${text}) & 255`)(i) as number;
        expect(parseRule(text)!(i) & 255).toBe(truth);
      }),
    );
  });
});
