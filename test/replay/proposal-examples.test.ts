import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf, replayTrace } from '../../replay/index.ts';
import {
  describeChanges,
  execute,
  executeWithPatches,
  renderHardware,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { EXAMPLE_NAMES, kernelFor, readExample } from '../support/proposal-examples.ts';
import { withStored } from '../support/stored.ts';

/** The worked examples of the proposals: each replays, and ends with the hardware of its golden file. */

const ROOT = join(import.meta.dirname, '../..');
/** Refusals that each trace has to show, in their order. */
const REFUSALS: Readonly<Record<string, readonly string[]>> = {
  'may-2-two-ioasids': ['proposal-slot-taken', 'proposal-memory-not-registered'],
  'may-3-software-nesting': ['choice-detach-parent'],
  'may-4-hardware-nesting': ['proposal-table-needs-child', 'proposal-table-bound'],
  'may-5-guest-sva': ['proposal-ioasid-in-use'],
  'may-6-page-fault': ['choice-no-fault', 'choice-no-fault'],
  'may-8-two-vms-audit': ['type1v2-locked-memory', 'proposal-already-attached', 'choice-detach-parent'],
  'may-conflict-two-vms': ['proposal-pasid-taken'],
  'may-conflict-enqcmd': ['choice-enqcmd-mixed'],
  'may-partial-group': [
    'proposal-ioasid-not-attached',
    'proposal-group-partly-attached',
    'proposal-device-not-bound',
    'choice-unbind-attached',
    'proposal-group-partly-attached',
  ],
  'july-1-passthrough': [
    'proposal-cookie-unknown',
    'proposal-snoop-unenforceable',
    'type1v2-not-permitted-range',
    'type1v2-unmap-cuts',
  ],
  'july-4-hardware-nesting': ['proposal-alloc-attributes', 'proposal-table-bound'],
  'july-5-guest-sva-delegated': ['proposal-pasid-delegated'],
  'july-5-guest-sva-kernel-table': ['choice-no-fault'],
  'july-5-guest-sva-enqcmd': ['choice-kvm-translation-off', 'choice-kvm-mapped', 'choice-kvm-no-pasid'],
  'july-conflict-descriptors': [
    'proposal-device-bound',
    'proposal-nesting-across-descriptors',
    'proposal-slot-taken',
  ],
  'july-conflict-one-slot': ['proposal-slot-taken', 'proposal-already-attached'],
  'september-not-viable': ['proposal-group-not-viable'],
  'september-attach': [
    'rfc-alloc-arguments',
    'proposal-ioasid-not-attached',
    'type1v2-overlap',
    'proposal-ioasid-in-use',
    'type1v2-unmap-cuts',
  ],
  'v4-dev-ioasid': ['dev-ioasid-arguments'],
  'v4-guest-sva': ['ioasid-free-pending', 'ioasid-set-not-found'],
};

describe('the worked examples', () => {
  test('are all there', () => {
    expect(EXAMPLE_NAMES).toHaveLength(25);
    expect(Object.keys(REFUSALS).filter((name) => !EXAMPLE_NAMES.includes(name))).toEqual([]);
  });

  test.each(EXAMPLE_NAMES)('%s replays as recorded', (name) => {
    const recording = readExample(name);
    const result = withStored(recording, replayTrace);
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ partial: 0, profile: recording.header.kernel, profileExact: true });
    expect(result.matched).toBe(recording.calls.filter(({ op }) => op !== 'note').length);
  });

  test.each(EXAMPLE_NAMES)('%s: a changed answer is told', (name) => {
    const recording = readExample(name);
    const at = recording.calls.findLastIndex(({ op }) => op === 'call' || op === 'ioctl');
    const calls = recording.calls.map((call, index) =>
      index === at && 'ret' in call ? ({ ...call, ret: call.ret + 5 } as Call) : call,
    );
    expect(withStored({ ...recording, calls }, replayTrace)).toMatchObject({ diverged: 1 });
  });

  test.each(EXAMPLE_NAMES)(
    '%s ends with the hardware of its golden file, and its refusals have reasons',
    async (name) => {
      const recording = readExample(name);
      const kernel = kernelFor(recording);
      const reasons = recording.calls.flatMap((call) => execute(kernel, call).reason?.id ?? []);
      expect(reasons).toEqual(REFUSALS[name] ?? []);
      const golden = join(ROOT, 'test/golden/proposal', `${name}.txt`);
      await expect(renderHardware(kernel)).toMatchFileSnapshot(golden);
    },
  );

  test('say what a call changed', () => {
    const recording = readExample('may-5-guest-sva');
    const kernel = kernelFor(recording);
    const told = recording.calls.map((call) => {
      const before = kernel.state;
      const { patches } = executeWithPatches(kernel, call);
      return describeChanges(before, kernel.state, patches);
    });
    expect(told[6]).toEqual(['files 1 spaces 0 appeared']);
    expect(told.at(-1)).toContain('groups 1 bound changed: 0');
  });

  test.each(EXAMPLE_NAMES)('%s: a snapshot anywhere, and a draft, lead to the same state', (name) => {
    const recording = readExample(name);
    const straight = kernelFor(recording);
    let restored = kernelFor(recording);
    const drafted = kernelFor(recording);
    for (const call of recording.calls) {
      execute(straight, call);
      executeWithPatches(drafted, call);
      execute(restored, call);
      restored = restoreKernel(serializeKernel(restored), restored.profile, restored.machine);
    }
    expect(digestOf(restored)).toBe(digestOf(straight));
    expect(digestOf(drafted)).toBe(digestOf(straight));
  });
});
