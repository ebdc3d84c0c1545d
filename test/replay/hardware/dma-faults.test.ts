import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findSlot, lookAtAll, translate } from '../../../replay/index.ts';
import { type Call, type Note, parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';
import { readText } from './sweep.ts';

/** Real DMA of a device, and the faults that the kernel reported of it, against what a walk says. */

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures', 'linux-6.12-vtd');
const EDU = '0000:00:02.0';
/** Commands of the edu device: it reads memory, or writes it. */
const FROM_MEMORY = 1;

const FAULT =
  /\[DMA (Read|Write) .*Request device \[00:02\.0\] fault addr (0x[0-9a-f]+) \[fault reason (0x[0-9a-f]+)\]/;

/** `read 0x100000 0x6`, as the kernel's log has them. */
function reported(name: string): string[] {
  const lines = readFileSync(join(FIXTURES, 'faults', name), 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, kind, address, reason] = FAULT.exec(line) ?? [];
    return kind === undefined ? [] : [`${kind.toLowerCase()} ${address} ${Number(reason)}`];
  });
}

interface Transfer {
  readonly seq: number;
  readonly write: boolean;
  readonly from: bigint;
  readonly count: bigint;
}

function transferOf(call: Call): Transfer[] {
  if (call.op !== 'note' || call.kind !== 'edu_dma') return [];
  const { cmd, src, dst, count } = (call as Note).fields as Record<string, string | number>;
  const write = cmd !== FROM_MEMORY;
  return [{ seq: call.seq, write, from: BigInt((write ? dst : src)!), count: BigInt(count!) }];
}

/** The first fault of each transfer by our walk, in the codes of the emulation that made the log. */
function walked(capture: string): string[] {
  const parsed = parseCapture(readText(capture), capture);
  const transfers = parsed.calls.flatMap(transferOf);
  return withStored(parsed, (store, id) => {
    const views = lookAtAll(
      store,
      store.findTrace(id)!,
      transfers.map(({ seq }) => seq),
    );
    return transfers.flatMap(({ write, from, count }, at) => {
      const view = views[at]!;
      const slot = findSlot(view, EDU, 0)!;
      for (let page = from & ~4095n; page < from + count; page += 4096n) {
        const { fault } = translate(view, { slot, iova: page, access: write ? 'w' : 'r' });
        if (fault !== null)
          return [`${write ? 'write' : 'read'} 0x${page.toString(16)} ${fault.emulated ?? fault.code}`];
      }
      return [];
    });
  });
}

describe.each(readdirSync(join(FIXTURES, 'faults')).sort())('%s', (name) => {
  test('is what walks of the same transfers say, in their order', () => {
    const ours = walked(join(FIXTURES, name.replace('.txt', '.jsonl.gz')));
    const log = reported(name);
    expect(log).not.toEqual([]);
    // The kernel leaves out lines when there are many.
    let at = 0;
    for (const line of log) {
      const found = ours.indexOf(line, at);
      expect(found, `${line} in ${ours.slice(at).join(', ')}`).toBeGreaterThanOrEqual(0);
      at = found + 1;
    }
  });
});
