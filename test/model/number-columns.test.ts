import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createColumnReader, createColumnWriter } from '../../src/model/index.ts';

const whole = fc.integer({ min: -(2 ** 52), max: 2 ** 52 });
const near = (bits: number) =>
  fc.tuple(whole, fc.array(fc.integer({ min: 0, max: 2 ** bits - 1 }), { maxLength: 40 }));

describe('columns of numbers', () => {
  test('are read back as they were written, whatever their width, between texts', () => {
    const column = fc.oneof(near(0), near(8), near(16), near(32), near(33));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), column), { maxLength: 6 }), (parts) => {
        const writer = createColumnWriter();
        const columns = parts.map(([text, [base, values]]) => ({
          text,
          values: values.map((each) => each + base),
        }));
        for (const { text, values } of columns) {
          writer.text(text);
          writer.numbers(values, values.length);
        }
        const bytes = writer.bytes();
        // Where they do not begin at a multiple of eight, too.
        const shifted = new Uint8Array(bytes.length + 3).subarray(3);
        shifted.set(bytes);
        for (const each of [bytes, shifted]) {
          const reader = createColumnReader(each);
          for (const { text, values } of columns) {
            expect(reader.text()).toBe(Buffer.from(text).toString());
            const into = new Float64Array(values.length + 1).fill(7);
            reader.numbers(into);
            expect([...into]).toEqual([...values, 7]);
          }
        }
      }),
    );
  });

  test('of one and the same number take no room for each', () => {
    const writer = createColumnWriter();
    writer.numbers(new Float64Array(100_000).fill(4095), 100_000);
    expect(writer.bytes().length).toBeLessThan(64);
  });

  test('take as many bytes a number as their spread asks for', () => {
    const sizeOf = (spread: number): number => {
      const writer = createColumnWriter();
      writer.numbers(
        Float64Array.from({ length: 1000 }, (_, at) => 2 ** 40 + (at % 2) * spread),
        1000,
      );
      return Math.floor(writer.bytes().length / 1000);
    };
    expect([255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32].map(sizeOf)).toEqual([1, 2, 2, 4, 4, 8]);
  });
});
