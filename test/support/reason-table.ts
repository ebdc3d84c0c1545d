import { describe, expect, test } from 'vitest';
import { applyCall, explainAt } from '../../replay/index.ts';
import type { Reason } from '../../src/model/index.ts';
import { runEach } from './every-call.ts';

/**
 * A refused call of a real kernel, with the reason that fits and the kernel function that checks, as read in
 * the sources of that kernel: 6.12.117 and 7.3-rc7. `trace` is the end of a fixture folder's name, and a
 * capture in it.
 */
export type ReasonRow = readonly [trace: string, seq: number, reason: string, kernelFunction: string];

/** The reasons of the calls of one trace, by number. */
function reasonsOf(
  folder: string,
  name: string,
  seqs: ReadonlySet<number>,
): ReadonlyMap<number, Reason | null> {
  const reasons = new Map<number, Reason | null>();
  runEach({ folder, name }, (kernel, call) => {
    if (seqs.has(call.seq)) reasons.set(call.seq, explainAt(kernel, call).reason);
    else applyCall(kernel, call);
  });
  return reasons;
}

/** Whether a source names the function; `_copy` after `iommufd_ioas_map` stands for `iommufd_ioas_copy`. */
function namesFunction(source: string, name: string): boolean {
  let whole = '';
  return source.split(/[;, ]+/).some((part) => {
    if (!part.startsWith('_')) {
      whole = part;
      return part === name;
    }
    const words = whole.split('_');
    return words.some((_, count) => `${words.slice(0, count).join('_')}${part}` === name);
  });
}

/** Tests that refused calls are explained as the table says. */
export function describeReasons(release: '6.12' | '7.3', rows: readonly ReasonRow[]): void {
  describe(`refusals of Linux ${release}`, () => {
    const traces = [...new Set(rows.map(([trace]) => trace))];

    test.each(traces)('in %s have the reason that the sources have', (trace) => {
      const [kind, name] = trace.split('/') as [string, string];
      const folder = kind === 'oracle' ? `oracle-${release}` : `linux-${release}-${kind}`;
      const wanted = rows.filter(([other]) => other === trace);
      const reasons = reasonsOf(folder, name, new Set(wanted.map(([, seq]) => seq)));
      for (const [, seq, id, kernelFunction] of wanted) {
        const reason = reasons.get(seq);
        expect({ seq, id: reason?.id }).toEqual({ seq, id });
        expect(
          `${reason?.source} names ${kernelFunction}: ${namesFunction(reason?.source ?? '', kernelFunction)}`,
        ).toMatch(/true$/);
      }
    });
  });
}
