import { describe, expect, test } from 'vitest';
import { FTRACE } from '../../../src/trace/importers/ftrace.ts';
import { shown } from './import-lines.ts';

const read = (...lines: readonly string[]) => shown(FTRACE, lines);
const MAP = 'IOMMU: iova=0x0000000000400000 - 0x0000000000401000 paddr=0x0000000115c00000 size=4096';
const MAPPED =
  'iommu_map {"iova":"0x400000","paddr":"0x115c00000","size":"0x1000"} = 0 | missing args.domain args.prot';

describe('an event is the same call in every print', () => {
  test.each([
    ['trace', ` qemu-system-x86-185     [000] .....    33.223567: map: ${MAP}`],
    ['trace, old', ` qemu-system-x86-185     [000] ....    33.223567: map: ${MAP}`],
    ['trace with record-tgid', ` qemu-system-x86-185     (    185) [000] d..1.    33.223567: map: ${MAP}`],
    ['trace-cmd report', ` qemu-system-x86-185   [000]    33.223567: map:                  ${MAP}`],
    ['trace-cmd report with flags', ` qemu-system-x86-185   [000] ..... 33.223567: map:   ${MAP}`],
    ['trace-cmd report, full times', ` qemu-system-x86-185   [000] 33.223567123: map:   ${MAP}`],
    ['trace-cmd report -l', ` qemu-system-x86-185     0d..1. 33.223567: map:                  ${MAP}`],
    ['the latency format', ` qemu-sys-185     0.....  33223567us+: map: ${MAP}`],
    ['the latency format, before a pause', ` qemu-sys-185     1dN.2.  33223567us : map: ${MAP}`],
    ['a clock of ticks', ` qemu-system-x86-185     [000] ..... 104817296542712: map: ${MAP}`],
    ['perf script of one process', `qemu-system-x86   185    33.223567:          1 iommu:map: ${MAP}`],
    ['perf script', `qemu-system-x86   185 [000]    33.223567: iommu:map: ${MAP}`],
    ['a name with blanks and dashes', ` my vm - 2-185   [000] .....    33.223567: map: ${MAP}`],
    [
      'an older kernel',
      ' vm-185 [000] .... 33.223567: map: IOMMU: iova=0x0000000000400000 paddr=0x0000000115c00000 size=0x1000',
    ],
  ])('%s', (_, line) => {
    expect(read(line)).toEqual({ calls: [MAPPED], skipped: [] });
    expect(FTRACE.detects(line)).toBe(true);
  });
});

test('every event of iommu becomes a call of the function that traces it', () => {
  const at = (text: string) => ` vm-185     [000] .....    33.223567: ${text}`;
  expect(
    read(
      at('unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000003000 size=8192 unmapped_size=4096'),
      at('attach_device_to_domain: IOMMU: device=0000:01:00.0'),
      at('detach_device_from_domain: IOMMU: device=0000:01:00.0'),
      at('add_device_to_group: IOMMU: groupID=7 device=0000:01:00.0'),
      at('remove_device_from_group: IOMMU: groupID=7 device=0000:01:00.0'),
      at('io_page_fault: IOMMU:vfio-pci 0000:01:00.0 iova=0x00000000fee00000 flags=0x0001'),
    ).calls,
  ).toEqual([
    'iommu_unmap {"iova":"0x1000","size":"0x2000"} = 0 | missing args.domain',
    'iommu_attach_device {"device":"0000:01:00.0"} = 0 | missing args.domain',
    'iommu_detach_device {"device":"0000:01:00.0"} = 0 | missing args.domain',
    'iommu_group_add_device {"group":7,"device":"0000:01:00.0"} = 0',
    'iommu_group_remove_device {"group":7,"device":"0000:01:00.0"} = 0',
    'report_iommu_fault {"driver":"vfio-pci","device":"0000:01:00.0","iova":"0xfee00000","flags":"0x1"} = ? | missing ret',
  ]);
});

test('losses are found in both places where the kernel tells them', () => {
  const { lost, skipped } = read(
    '# tracer: nop',
    '# entries-in-buffer/entries-written: 1000/1046   #P:2',
    'CPU:1 [LOST 7 EVENTS]',
    ` vm-185     [000] .....    33.223567: map: ${MAP}`,
  );
  expect(lost).toEqual([46, 7]);
  expect(
    read(
      ...['CPU:0 [LOST EVENTS]', 'CPU:1 [12 EVENTS DROPPED]', 'CPU:1 [EVENTS DROPPED]'],
      ' qemu 185 [000] 33.2: PERF_RECORD_LOST lost 3',
    ).lost,
  ).toEqual([null, 12, null, 3]);
  expect(skipped).toEqual(['comment', 'comment']);
});

test('other events are counted by name', () => {
  expect(
    read(
      '          <idle>-0       [001] d....    11.705302: cache_tag_flush_range: dmar0 dmar0[0] type iotlb',
      ' vm-1 [001] .....    31.339304: tracing_mark_write: MARK map: IOMMU:',
      ' vm-1 [001] .....    31.339304: map: IOMMU: iova=0x00',
      'cpus=2',
    ).skipped,
  ).toEqual(['cache_tag_flush_range', 'tracing_mark_write', 'map (damaged)', 'words of trace-cmd']);
});
