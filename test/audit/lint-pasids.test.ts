import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ApiCall, type Call, parseCapture } from '../../src/trace/index.ts';
import { answeredAnew, lint } from '../support/lint.ts';
import { readExample } from '../support/proposal-examples.ts';
import type { Recording } from '../support/stored.ts';

/** PASIDs that a kernel of 2021 allocates, and takes back when its drivers have flushed them. */

const FILE = join(import.meta.dirname, '../../examples/proposal/v4-guest-sva.jsonl');
const EXAMPLE = parseCapture(readFileSync(FILE, 'utf8'), FILE);

const isCall =
  (name: string) =>
  (call: Call): call is ApiCall =>
    call.op === 'call' && call.name === name;

/** The life of the first PASID, and then its number for somebody else. */
function reused(isLeftOut: (call: Call) => boolean): Recording {
  const end = EXAMPLE.calls.findIndex(isCall('ioasid_free'));
  const life = EXAMPLE.calls.slice(0, end + 1).filter((call) => !isLeftOut(call));
  const alloc = EXAMPLE.calls.find(isCall('ioasid_alloc'))!;
  const again = { ...alloc, seq: EXAMPLE.calls[end]!.seq + 1, args: { ...alloc.args, min: 1, max: 1 } };
  return answeredAnew({ header: EXAMPLE.header, calls: [...life, again] });
}

const rulesOf = (recording: Recording): string[] => lint(recording).map(({ id }) => id);

describe('a PASID that has a new holder', () => {
  test('after its caches were flushed is no finding', () => {
    expect(rulesOf(reused(() => false))).not.toContain('pasid-reuse-before-flush');
  });

  test('before its caches were flushed is one, with both holders', () => {
    const [finding] = lint(reused(isCall('pasid_flush'))).filter(
      ({ id }) => id === 'pasid-reuse-before-flush',
    );
    expect(finding).toMatchObject({ severity: 'error' });
    expect(finding!.chain.map(({ role }) => role)).toEqual(['taken', 'given back', 'taken again']);
  });
});

test('a PASID that a virtual CPU still translates to when it is given back is one', () => {
  const [finding] = lint(readExample('july-5-guest-sva-enqcmd')).filter(
    ({ id }) => id === 'kvm-translation-stale',
  );
  expect(finding).toMatchObject({ severity: 'error', seq: 22 });
  expect(finding!.message).toContain('is freed while the CPU of VM 4 still translates');
  expect(rulesOf(readExample('may-8-two-vms-audit'))).not.toContain('kvm-translation-stale');
});

describe('a PASID that is freed while a device uses it', () => {
  test('is found in the example, where the free waits for the device', () => {
    const [finding] = lint(EXAMPLE).filter(({ id }) => id === 'pasid-free-while-attached');
    expect(finding!.message).toContain('still uses it, and waits for them');
    expect(finding!.chain.map(({ role }) => role)).toEqual(['attached', 'freed']);
  });

  test('is taken out of use in the wrong order there', () => {
    expect(rulesOf(EXAMPLE)).toContain('pasid-teardown-order');
    expect(rulesOf(reused(() => false))).not.toContain('pasid-teardown-order');
  });
});
