import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ImportSink, UnplacedCall } from '../../../src/trace/importers/index.ts';
import { QEMU_LOG } from '../../../src/trace/importers/qemu/index.ts';
import { OBSERVERS, readObserved } from '../../support/observed.ts';

describe('every line is imported or counted under a name', () => {
  test.each([
    ['qemu-a', 130],
    ['qemu-b', 176],
    ['qemu-bpf', 92],
    ['qemu-d', 116],
    ['qemu-k', 32_423],
    ['qemu-k-pt', 615],
    ['qemu-strace', 52],
    ['qemu72-classic-edu', 32],
    ['qemu72-compat-linux-viommu-nvme', 867],
  ])('%s', async (name, count) => {
    const text = gunzipSync(readFileSync(join(OBSERVERS, `${name}.log.gz`))).toString();
    const lines = text.split('\n').filter((line) => line !== '');
    const calls: UnplacedCall[] = [];
    const skipped: string[] = [];
    const sink: ImportSink = {
      call: (call) => calls.push(call) - 1,
      skip: (name) => void skipped.push(name),
      lost: () => undefined,
    };
    const importer = QEMU_LOG.start(sink);
    let waiting = 0;
    let longest = 0;
    for (const line of lines) {
      const before = calls.length + skipped.length;
      importer.line(line);
      // An event of the memory listener waits for the next line to tell what became of it.
      waiting = calls.length + skipped.length === before ? waiting + 1 : 0;
      longest = Math.max(longest, waiting);
    }
    importer.end();
    expect(longest).toBeLessThan(2);
    const implied = calls.filter(({ partial }) => partial?.implied !== undefined).length;
    expect(calls.length - implied + skipped.length).toBe(lines.length);
    expect(skipped.filter((what) => /damaged|message/.test(what))).toEqual([]);
    expect(calls.length).toBe(count);
  });

  test('with counts that a summary shows', async () => {
    const { summary } = await readObserved(join(OBSERVERS, 'qemu-b.log.gz'));
    expect(summary.skipped).toEqual({
      'iommufd_backend_connect (no call)': 4,
      'iommufd_backend_disconnect (no call)': 4,
      'iommufd_cdev_alloc_ioas (told by another event)': 1,
      iommufd_cdev_pci_hot_reset_dep_devices: 25,
      vfio_check_pcie_flr: 1,
      vfio_check_pm_reset: 3,
      vfio_intx_disable: 25,
      vfio_intx_enable: 25,
      vfio_intx_eoi: 357,
      vfio_intx_interrupt: 357,
      vfio_intx_update: 14,
      'vfio_listener_region_add_ram (told by iommufd_backend_*)': 70,
      'vfio_listener_region_del (told by iommufd_backend_*)': 70,
      vfio_listener_region_skip: 94,
      vfio_mdev: 7,
      vfio_msi_setup: 3,
      vfio_msix_early_setup: 4,
      vfio_pci_hot_reset: 14,
      vfio_pci_hot_reset_has_dep_devices: 14,
      vfio_pci_hot_reset_result: 5,
      vfio_pci_load_rom: 2,
      vfio_pci_read_config: 5,
      vfio_pci_reset: 14,
      vfio_pci_reset_flr: 5,
      vfio_pci_reset_pm: 9,
      vfio_pci_size_rom: 3,
      vfio_pci_write_config: 185,
      vfio_populate_device_config: 4,
      vfio_region_exit: 13,
      vfio_region_finalize: 13,
      vfio_region_mmap: 10,
      vfio_region_mmaps_set_enabled: 442,
      vfio_region_read: 12,
      vfio_region_setup: 24,
      vfio_region_write: 5,
      vfio_reset_handler: 6,
      vfio_rom_read: 5,
    });
    const { skipped, ...rest } = summary;
    expect(rest).toEqual({ format: 'qemu', callCount: 176, partial: 176, doubtful: 0, implied: 6, lost: 0 });
  });
});

describe('a line is the same calls and counts, read from its bytes or as text', () => {
  const FILES = readdirSync(OBSERVERS).filter((name) => /^qemu.*\.log\.gz$/.test(name));

  /** `bytes`: as a file is read; otherwise every line as text. */
  const read = (text: string, bytes: boolean): readonly unknown[] => {
    const told: unknown[] = [];
    const sink: ImportSink = {
      call: (call) => told.push(call) - 1,
      skip: (name) => void told.push(name),
      lost: (events) => void told.push(events),
    };
    const importer = QEMU_LOG.start(sink);
    const block = Buffer.from(text);
    for (let start = 0; start < block.length; ) {
      const next = bytes ? importer.bytes!(block, start) : -1;
      const end = block.indexOf(10, start) + 1;
      if (next === -1) importer.line(block.toString('utf8', start, end - 1));
      else expect(next).toBe(end);
      start = end;
    }
    importer.end();
    return told;
  };

  test.each(FILES)('%s', (name) => {
    const whole = gunzipSync(readFileSync(join(OBSERVERS, name))).toString();
    const text = whole.slice(0, whole.lastIndexOf('\n', 2_000_000) + 1);
    const asText = read(text, false);
    expect(isDeepStrictEqual(read(text, true), asText)).toBe(true);
    expect(asText.length).toBeGreaterThan(30);
  });

  test('whatever is damaged in it', () => {
    const lines = gunzipSync(readFileSync(join(OBSERVERS, 'qemu-b.log.gz')))
      .toString()
      .split('\n')
      .filter((line) => /iommufd_|vfio_listener|map_notify/.test(line));
    const damage = fc.record({
      line: fc.nat(lines.length - 1),
      at: fc.nat(160),
      cut: fc.nat(3),
      put: fc.string({ maxLength: 2 }),
    });
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 20 }), (damages) => {
        const some = damages.map(({ line, at, cut, put }) => {
          const whole = lines[line]!;
          return (whole.slice(0, at) + put + whole.slice(at + cut)).replaceAll('\n', ' ');
        });
        const text = `${[lines[0], ...some].join('\n')}\n`;
        expect(read(text, true)).toEqual(read(text, false));
      }),
      { numRuns: 2000 },
    );
  });
});
