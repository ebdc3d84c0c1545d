import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { findCaptures } from '../../conformance/index.ts';

/** The captures beside the tests: real recordings, each folder with where it comes from. */

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
const CAPTURES = findCaptures(FIXTURES);
/** What a clone pays for them. */
const BYTES_MAX = 12 * 1024 * 1024;
/** Captures of each folder: one that is lost would be missed by no other test. */
const COUNTS = {
  lint: 76,
  'linux-6.12-clients': 12,
  'linux-6.12-fuzz-mock': 100,
  'linux-6.12-fuzz-vtd': 24,
  'linux-6.12-limits': 4,
  'linux-6.12-probe': 9,
  'linux-6.12-selftests': 122,
  'linux-6.12-type1': 4,
  'linux-6.12-vfio': 4,
  'linux-6.12-vfio-pci': 1,
  'linux-6.12-vmm': 7,
  'linux-6.12-vtd': 44,
  'linux-6.12-vtd-logs': 4,
  'linux-7.3-arm': 42,
  'linux-7.3-dmabuf': 4,
  'linux-7.3-hw': 33,
  'linux-7.3-limits': 5,
  'linux-7.3-mock': 2,
  'linux-7.3-probe': 3,
  'linux-7.3-selftests': 159,
  'linux-7.3-type1': 4,
  'linux-7.3-vfio': 4,
  'linux-7.3-vfio-pci': 1,
  'linux-7.3-vtd-logs': 4,
  'oracle-6.12': 11,
};

describe('the fixtures', () => {
  test('are all there', () => {
    const counts: Record<string, number> = {};
    for (const { folder } of CAPTURES) counts[folder] = (counts[folder] ?? 0) + 1;
    expect(counts).toEqual(COUNTS);
    for (const folder of readdirSync(FIXTURES)) {
      expect(readdirSync(join(FIXTURES, folder))).toContain('PROVENANCE.md');
    }
  });

  test.each(Object.keys(COUNTS))(
    '%s: say where they come from, how many they are, and on what kernel',
    (folder) => {
      const text = readFileSync(join(FIXTURES, folder, 'PROVENANCE.md'), 'utf8');
      expect(text).toMatch(/Linux (6\.12|7\.3)/);
      expect(text).toMatch(/Licence/i);
      expect(text).toMatch(/Nothing here was edited/);
      const told = /(\d+) captures?/.exec(text)?.[1] ?? text.match(/^\| [a-z-]+ \| \d+ \|/gm)?.length;
      expect(Number(told)).toBe(COUNTS[folder as keyof typeof COUNTS]);
    },
  );

  test('are small enough to live in the repository', () => {
    const files = readdirSync(FIXTURES, { recursive: true, withFileTypes: true }).filter((file) =>
      file.isFile(),
    );
    const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
    expect(bytes).toBeLessThan(BYTES_MAX);
    expect(bytes).toBeGreaterThan(4_000_000);
  });

  test('name the kernel, and where it is not the mock IOMMU the devices', () => {
    for (const { folder, name, path } of CAPTURES.filter(({ folder }) => folder !== 'oracle-6.12')) {
      const text = gunzipSync(readFileSync(path)).toString();
      const header = JSON.parse(text.slice(0, text.indexOf('\n')));
      expect({ name, op: header.op }).toEqual({ name, op: 'header' });
      expect({ folder, kernel: header.kernel }).toEqual({
        folder,
        kernel: expect.stringContaining(folder.includes('6.12') ? '6.12.' : '7.3.'),
      });
      const { iommu, devices } = header.topology;
      if (iommu !== 'mock') expect({ name, devices: devices?.length > 0 }).toEqual({ name, devices: true });
    }
  });
});
