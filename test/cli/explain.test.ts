import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXAMPLE, ROOT, runCli } from './run-cli.ts';

const FIXTURES = join(ROOT, 'test/fixtures/linux-6.12-selftests');
/** A capture of another folder. */
const hardware = (name: string): string => join(ROOT, 'test/fixtures', `${name}.jsonl.gz`);
const NESTED = join(FIXTURES, 'iommufd_ioas.mock_domain.alloc_hwpt_nested.jsonl.gz');

describe('ioasis explain', () => {
  test.each([
    ['first-open', EXAMPLE, '55'],
    ['mock-domain', EXAMPLE, '57'],
    ['map-efault', EXAMPLE, '64'],
    ['mmap-input', EXAMPLE, '52'],
    ['destroy-ebusy', NESTED, '84'],
    ['map-eexist', join(FIXTURES, 'iommufd_ioas.mock_domain.area.jsonl.gz'), '92'],
    ['unmap-part', join(FIXTURES, 'iommufd_ioas.mock_domain.area.jsonl.gz'), '90'],
    ['map-dma', join(FIXTURES, 'vfio_compat_mock_domain.Ver1v2.map.jsonl.gz'), '60'],
    ['bind-ebusy', hardware('linux-6.12-vtd/legacy48-legacy-mixed'), '23'],
    ['group-open-ebusy', hardware('linux-6.12-vtd/legacy48-legacy-mixed'), '37'],
    ['attach-eaddrinuse', hardware('linux-6.12-fuzz-vtd/legacy48-seed-10'), '61'],
    ['nest-parent-read-only', hardware('linux-7.3-hw/vtd-ss-nested-nested'), '11'],
    ['smmuv3-eio', hardware('linux-7.3-arm/canwbs-nest-ste'), '44'],
    ['type1-bisect', hardware('linux-6.12-type1/dirty'), '321'],
    ['irq-einval', hardware('linux-6.12-vfio-pci/device-calls'), '265'],
    ['group-owned-eperm', hardware('linux-6.12-vmm/b'), '2870'],
  ])('prints %s as reviewed', async (name, path, seq) => {
    const run = await runCli(['explain', path, '--at', seq]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await expect(run.stdout).toMatchFileSnapshot(join(ROOT, `test/golden/explain/${name}.txt`));
  });

  test('prints the same as one JSON object', async () => {
    const run = await runCli(['explain', NESTED, '--at', '84', '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(run.stdout)).toMatchObject({
      call: { seq: 84, name: 'IOMMU_DESTROY' },
      profile: 'linux-6.12',
      objects: [{ fields: ['id'], id: 5, object: { type: 'hwpt-paging', users: 4 } }],
      context: { id: 1, count: 1, descriptors: [{ pid: 761, fd: 3 }] },
      answer: { ret: -1, errno: 'EBUSY', reason: { id: 'object-in-use' } },
      refusal: {
        findings: [
          { what: 'HWPT 5 has 3 users:', origin: null, madeBy: null },
          { what: 'nested HWPT 8', origin: { kind: 'object', context: 1, id: 8 }, madeBy: 71 },
          { what: 'nested HWPT 9', madeBy: 72 },
          { what: 'nested HWPT 10', madeBy: 74 },
        ],
      },
      checks: [
        { id: 'struct-unreadable', at: 'size', status: 'passed' },
        { id: 'command-unknown', at: null, status: 'passed' },
        { id: 'struct-too-small', status: 'passed' },
        { id: 'struct-tail-not-zero', status: 'passed' },
        { id: 'struct-unreadable', at: 'struct', status: 'passed' },
        { id: 'object-not-found', status: 'passed' },
        { id: 'object-in-use', status: 'refused' },
      ],
      changes: [],
      divergence: null,
    });
  });

  test('refuses a call that is not in the trace', async () => {
    const run = await runCli(['explain', EXAMPLE, '--at', '1']);
    expect(run.code).toBe(2);
    expect(run.stderr).toMatch(/^ioasis: .*no call has the number 1\n$/);
  });
});
