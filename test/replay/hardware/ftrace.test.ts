import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareFtrace, type FtraceComparison, parseFtrace } from '../../../replay/index.ts';
import { parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';
import { SHARED_TRACES } from '../../trace/shared-traces.ts';
import { readText } from './sweep.ts';

/** What the kernel's own trace says it mapped, unmapped and attached, against what the model says it did. */

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');

function compare(capture: string, ftrace: string): FtraceComparison {
  const parsed = parseFtrace(ftrace);
  if (parsed === null) throw new Error('no trace of events');
  return withStored(parseCapture(readText(capture), capture), (store, id) =>
    compareFtrace(store, store.findTrace(id)!, parsed),
  );
}

/** How much was compared: comparing nothing proves nothing. */
const EXPECTED = {
  'linux-6.12-clients': { files: 12, maps: 1564, unmaps: 797, attaches: 44 },
  'linux-6.12-fuzz-vtd': { files: 24, maps: 1196, unmaps: 325, attaches: 332 },
  'linux-6.12-vmm': { files: 7, maps: 17_022, unmaps: 16_198, attaches: 92 },
  'linux-6.12-vtd': { files: 44, maps: 4672, unmaps: 342, attaches: 276 },
  'linux-7.3-arm': { files: 42, maps: 15_421, unmaps: 917, attaches: 667 },
  'linux-7.3-hw': { files: 33, maps: 4179, unmaps: 331, attaches: 187 },
} as const;

describe.each(Object.keys(EXPECTED) as (keyof typeof EXPECTED)[])('the events of %s', (folder) => {
  const names = readdirSync(join(FIXTURES, folder, 'ftrace')).sort();
  const totals = { files: 0, maps: 0, unmaps: 0, attaches: 0 };

  test.each(names)('%s: are those that the model implies, in its order', (name) => {
    const capture = join(FIXTURES, folder, name.replace('.txt.gz', '.jsonl.gz'));
    const comparison = compare(capture, readText(join(FIXTURES, folder, 'ftrace', name)));
    expect(comparison.differences).toEqual([]);
    expect(comparison.equal).toBe(comparison.maps + comparison.unmaps + comparison.attaches);
    expect(comparison.lost).toBe(0);
    totals.files += 1;
    totals.maps += comparison.maps;
    totals.unmaps += comparison.unmaps;
    totals.attaches += comparison.attaches;
  });

  test('were all compared', () => {
    expect(totals).toEqual(EXPECTED[folder]);
  });
});

describe('an event that was changed', () => {
  const capture = join(FIXTURES, 'linux-7.3-hw', 'vtd-ss-unmap.jsonl.gz');
  const text = readText(join(FIXTURES, 'linux-7.3-hw', 'ftrace', 'vtd-ss-unmap.txt.gz'));
  const lines = text.split('\n');
  const events = lines.flatMap((line, at) =>
    /: (map|unmap|attach_device_to_domain): /.test(line) ? [at] : [],
  );

  /** The trace with one of its lines replaced. */
  const edited = (at: number, change: (line: string) => readonly string[]): FtraceComparison =>
    compare(capture, [...lines.slice(0, at), ...change(lines[at]!), ...lines.slice(at + 1)].join('\n'));

  test.each(events)('is found, whatever is done to line %i', (at) => {
    for (const change of [
      () => [],
      (line: string) => [line, line],
      (line: string) => [
        line.replace(/(iova=0x0*)([1-9a-f])/, '$1f$2').replace('device=0000:00', 'device=0000:01'),
      ],
      (line: string) => [
        line.replace(/ size=(\d+)/, (_, size) => ` size=${2 * Number(size)}`).replace(': attach_', ': map_'),
      ],
      (line: string) => [
        line
          .replace(/paddr=0x0{7}/, 'paddr=0x0000001')
          .replace(/unmapped_size=/, 'unmapped_size=1')
          .replace(': attach_', ': x_'),
      ],
    ]) {
      const { different, differences } = edited(at, change);
      expect(different).toBeGreaterThan(0);
      expect(differences.length).toBe(different);
    }
  });

  test('is named with the call that should have caused it, and the line where it stands', () => {
    const at = events.find((line) => lines[line]!.includes(' map: '))!;
    const { differences, different, equal, entries } = edited(at, (line) => [
      line.replace(/paddr=0x0{7}/, 'paddr=0x0000001'),
    ]);
    expect({ different, notEqual: entries - equal }).toEqual({ different: 1, notEqual: 1 });
    const [difference] = differences;
    expect(difference).toMatchObject({
      what: 'event',
      event: { kind: 'map', line: at + 1 },
      expected: { kind: 'map' },
    });
    expect(difference!.seq).toBeGreaterThan(0);
  });

  test('that is a fault must be one by our walk at that time', () => {
    const at = events.find((line) => lines[line]!.includes(' unmap: '))!;
    const [, head] = /^(.*) unmap: /.exec(lines[at]!)!;
    const iova = /iova=(0x[0-9a-f]+)/.exec(lines[at]!)![1]!;
    const fault = `${head} io_page_fault: IOMMU:vfio-pci 0000:00:02.0 iova=${iova} flags=0x0000`;
    const after = edited(at, (line) => [line, fault]);
    expect(after).toMatchObject({ different: 0, faults: 1 });
    const before = edited(at, (line) => [fault, line]);
    expect(before).toMatchObject({ different: 1, faults: 1 });
    expect(before.differences[0]).toMatchObject({ what: 'extra', event: { kind: 'fault', line: at + 1 } });
  });

  test('of another task is none of ours', () => {
    const at = events.find((line) => lines[line]!.includes(' map: '))!;
    const { different, others } = edited(at, (line) => [line, line.replace(/\S+-\d+ /, 'kworker/0:1-12 ')]);
    expect({ different, others }).toEqual({ different: 0, others: { 'kworker/0:1': 1 } });
  });
});

describe('a doorbell that an SMMUv3 translates', () => {
  const name = readdirSync(join(FIXTURES, 'linux-7.3-arm', 'ftrace')).sort()[0]!;
  const capture = join(FIXTURES, 'linux-7.3-arm', name.replace('.txt.gz', '.jsonl.gz'));
  const lines = readText(join(FIXTURES, 'linux-7.3-arm', 'ftrace', name)).split('\n');
  const at = lines.findIndex((line) => line.includes(' map: '));
  /** The kernel maps a page of its own right before the first area. */
  const withMap = (iova: string): FtraceComparison => {
    const map = lines[at]!.replace(/IOMMU: .*/, `IOMMU: iova=0x${iova} - 0x0 paddr=0x8090000 size=4096`);
    return compare(capture, [...lines.slice(0, at), map, ...lines.slice(at)].join('\n'));
  };

  test('is mapped by nobody of the trace', () => {
    const { different, others } = withMap('0000000008000000');
    expect({ different, others: others['software MSI'] }).toEqual({ different: 0, others: 1 });
  });

  test('is none outside of its window', () => {
    expect(withMap('0000000018000000').different).toBeGreaterThan(0);
  });
});

test('what is no trace of events is refused', () => {
  expect(parseFtrace('')).toBeNull();
  expect(parseFtrace('Device 0000:00:02.0 @0x1\n')).toBeNull();
  expect(parseFtrace('# tracer: nop\n')).toEqual({ events: [], overwritten: 0, lost: 0 });
});

test('a trace that trace-cmd printed, and events that were lost, are read', () => {
  const text = [
    'cpus=2',
    '# entries-in-buffer/entries-written: 2/7   #P:2',
    'CPU:1 [LOST 3 EVENTS]',
    '   prog-12    [000]   1.5: map:                  IOMMU: iova=0x1000 - 0x3000 paddr=0x5000 size=8192',
    '   prog-12    (   11) [000] .....   1.6: iommu:io_page_fault: IOMMU:vfio-pci 0000:00:02.0 iova=0x7000 flags=0x0001',
  ].join('\n');
  const base = { task: 'prog', tid: 12 };
  expect(parseFtrace(text)).toEqual({
    events: [
      { ...base, line: 4, kind: 'map', page: 1, count: 2, frame: 5 },
      { ...base, line: 5, kind: 'fault', bdf: '0000:00:02.0', page: 7, write: true },
    ],
    overwritten: 5,
    lost: 3,
  });
});

describe('all traces of events beside the checkout', () => {
  test('are those that the model implies', { timeout: 120_000 }, () => {
    const found = existsSync(SHARED_TRACES) ? below(SHARED_TRACES) : [];
    const wrong = found.flatMap(([capture, ftrace]) => {
      const { different } = compare(capture, readText(ftrace));
      return different > 0 ? [`${ftrace}: ${different}`] : [];
    });
    expect(wrong).toEqual([]);
  });
});

/** Folders with one capture and its trace of events. */
function below(root: string): [string, string][] {
  const entries = readdirSync(root, { withFileTypes: true });
  const named = (pattern: RegExp) =>
    entries.find((entry) => entry.isFile() && pattern.test(entry.name))?.name;
  const capture = named(/^trace.*\.jsonl\.gz$/);
  const ftrace = named(/^ftrace\.txt(\.gz)?$/);
  const own: [string, string][] =
    capture !== undefined && ftrace !== undefined ? [[join(root, capture), join(root, ftrace)]] : [];
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(root, name));
  return [...own, ...folders.flatMap(below)];
}
