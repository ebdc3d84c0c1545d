import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readObserved } from '../../support/observed.ts';
import { SHARED_TRACES } from '../shared-traces.ts';

/** Every log beside the checkout, whole; what the repository keeps of them is shorter. */
const FOLDERS = ['vmm', 'clients'].map((folder) => join(SHARED_TRACES, folder));

const LOG = /^(qemu-trace.*\.log|strace\.txt|bpftrace\.txt|ftrace\.txt)(\.gz)?$/;

const logs = FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && LOG.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort(),
);

const FORMAT_OF = { q: 'qemu', s: 'strace', b: 'bpftrace', f: 'ftrace' } as const;

describe.skipIf(logs.length === 0)('every shared log imports with no line unexplained', () => {
  test.each(logs.map((path) => [relative(SHARED_TRACES, path), path]))('%s', async (name, path) => {
    const file = name.split('/').at(-1)!;
    const { summary, calls } = await readObserved(path);
    expect(summary.format).toBe(FORMAT_OF[file[0] as keyof typeof FORMAT_OF]);
    // One run did nothing with an IOMMU: a trace of comments.
    if (!name.includes('compat/libvfn-vfio-identify')) expect(calls.length).toBeGreaterThan(0);
    expect(summary).toMatchObject({ doubtful: 0, lost: 0 });
    const unexplained = Object.keys(summary.skipped).filter((what) =>
      /damaged|message|other kinds/.test(what),
    );
    expect(unexplained).toEqual([]);
  });
});
