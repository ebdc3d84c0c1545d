import { describe, expect, test } from 'vitest';
import { applyCall, type ObjectGraph, objectGraph, renderGraph } from '../../replay/index.ts';
import type { Kernel } from '../../src/model/index.ts';
import { everyTrace, runEach, type TraceName } from '../support/every-call.ts';

/** The object graph of every state that the recorded traces go through. */

/** A state is looked at after every so many calls: a prime, so that traces are met at different places. */
const STRIDE = 37;

function eachGraph(
  trace: TraceName,
  look: (graph: ObjectGraph, kernel: Kernel) => void,
  stride = STRIDE,
): void {
  let count = 0;
  runEach(trace, (kernel, call) => {
    applyCall(kernel, call);
    count += 1;
    if (count % stride === 0) look(objectGraph(kernel, call.seq), kernel);
  });
}

describe('the object graph', () => {
  test.each(folders())('of %s has a node at both ends of each edge, and owners that exist', (_, traces) => {
    for (const trace of traces) {
      eachGraph(trace, ({ nodes, edges, seq }) => {
        const keys = new Set(nodes.map(({ key }) => key));
        const at = `${trace.name} at call ${seq}`;
        expect(keys.size, at).toBe(nodes.length);
        const dangling = edges.filter(({ from, to }) => !keys.has(from) || !keys.has(to));
        expect(dangling, at).toEqual([]);
        expect(
          nodes.filter(({ owner }) => owner !== null && !keys.has(owner)),
          at,
        ).toEqual([]);
        const same = new Set(edges.map(({ from, role, to }) => `${from} ${role} ${to}`));
        expect(same.size, at).toBe(edges.length);
      });
    }
  });

  test('has every object of every context, and every descriptor of one', () => {
    let objects = 0;
    for (const trace of everyTrace()
      .filter(({ folder }) => folder === 'linux-7.3-selftests')
      .slice(0, 40)) {
      eachGraph(
        trace,
        ({ nodes, edges }, { state }) => {
          for (const context of Object.values(state.contexts)) {
            for (const { id, users } of Object.values(context.objects)) {
              const node = nodes.find((each) => each.context === context.id && each.id === id);
              expect(node?.facts['users']).toBe(users);
              objects += 1;
            }
          }
          for (const { pid, descriptors } of Object.values(state.processes)) {
            for (const [fd, file] of Object.entries(descriptors)) {
              const isContext = state.files[file]?.kind === 'iommufd';
              const found = edges.some(
                ({ from, role, to }) =>
                  from === `process/${pid}` &&
                  role === `descriptor ${fd}` &&
                  to === `context/${state.files[file]?.context}`,
              );
              if (isContext) expect(found).toBe(true);
            }
          }
        },
        3,
      );
    }
    expect(objects).toBeGreaterThan(100);
  });

  test('as Mermaid has a line for each node and edge, and no quote inside a text', () => {
    const [trace] = everyTrace().filter(({ folder }) => folder === 'linux-6.12-vmm');
    eachGraph(trace!, (graph) => {
      const lines = renderGraph(graph).trimEnd().split('\n');
      expect(lines[0]).toBe('flowchart LR');
      expect(lines.filter((line) => /^ +n\d+\["[^"]*"\]$/.test(line))).toHaveLength(graph.nodes.length);
      expect(lines.filter((line) => /^ {2}n\d+ -->\|"[^"]*"\| n\d+$/.test(line))).toHaveLength(
        graph.edges.length,
      );
    });
  });
});

function folders(): [string, TraceName[]][] {
  const all = everyTrace();
  return [...new Set(all.map(({ folder }) => folder))].map((name) => [
    name,
    all.filter(({ folder }) => folder === name),
  ]);
}
