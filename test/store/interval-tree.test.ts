import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeOf, nodesAbove } from '../../store/interval-tree.ts';

/** Nodes of intervals: each point finds every interval around it, and looks at few nodes. */

const call = fc.oneof(fc.nat({ max: 70 }), fc.nat({ max: 2 ** 31 - 1 }), fc.maxSafeNat());

describe('the nodes above a call', () => {
  test('have every interval that contains it', () => {
    const property = fc.property(call, call, call, (a, b, c) => {
      const [first, seq, last] = [a, b, c].sort((x, y) => x - y) as [number, number, number];
      const node = nodeOf(first, last);
      expect(node).toBeGreaterThanOrEqual(first);
      expect(node).toBeLessThanOrEqual(last);
      expect(nodesAbove(seq)).toContain(node);
    });
    fc.assert(property, { numRuns: 2000 });
  });

  test('are one of each height at most, each once', () => {
    const property = fc.property(call, (seq) => {
      const nodes = nodesAbove(seq);
      expect(new Set(nodes).size).toBe(nodes.length);
      expect(nodes.length).toBeLessThanOrEqual(54);
      expect(nodes.every(Number.isSafeInteger)).toBe(true);
    });
    fc.assert(property, { numRuns: 500 });
  });

  test.each([
    [0, 0, 0],
    [0, 99, 0],
    [5, 5, 5],
    [5, 6, 6],
    [5, 9, 8],
    [9, 15, 12],
  ])('the calls %i to %i stand at %i', (first, last, node) => {
    expect(nodeOf(first, last)).toBe(node);
  });
});
