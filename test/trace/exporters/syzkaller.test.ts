import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type Call,
  type Capture,
  exportSyzkaller,
  type IoctlCall,
  readTrace,
  sitesOf,
} from '../../../src/trace/index.ts';
import { CMD } from '../../../src/uapi/index.ts';
import { describeCall, sourceOfCapture, textOf } from '../../support/export-source.ts';
import { readFixture } from '../../support/fixtures.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const FOLDER = mkdtempSync(join(tmpdir(), 'ioasis-syz-'));
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

function programOf(capture: Capture): string {
  return textOf((write) => exportSyzkaller(sourceOfCapture(capture), write, { describe: describeCall })).text;
}

async function importProgram(name: string, program: string): Promise<readonly Call[]> {
  const path = join(FOLDER, `${name}.syz`);
  writeFileSync(path, program);
  const calls: Call[] = [];
  await readTrace(path, { calls: (batch) => void calls.push(...batch) });
  return calls;
}

describe('a syzkaller program', () => {
  test('names ids and descriptors as its resources', () => {
    const program = programOf(readFixture('iommufd_mock_domain.two_domains.basic'));
    const lines = program.split('\n').filter((line) => !line.startsWith('#'));
    expect(lines.slice(0, 5)).toEqual([
      "r0 = openat$iommufd(0xffffffffffffff9c, &(0x7f0000000000)='/dev/iommu\\x00', 0x2, 0x0)",
      'ioctl$IOMMU_IOAS_ALLOC(r0, 0x3b81, &(0x7f0000000040)={0xc, 0x0, <r1=>0x0})',
      'ioctl$IOMMU_TEST_OP_MOCK_DOMAIN(r0, 0x3ba0, &(0x7f0000000080)={0x48, 0x2, r1, 0x0, 0x0, 0x0, 0x0})',
      'ioctl$IOMMU_TEST_OP_MOCK_DOMAIN(r0, 0x3ba0, &(0x7f0000000100)={0x48, 0x2, r1, 0x0, 0x0, <r2=>0x0, 0x0})',
      'ioctl$IOMMU_IOAS_MAP$PAGES(r0, 0x3b85, &(0x7f0000000180)={0x28, 0x6, r1, 0x0, &(0x7f0000010000/0x1000)=nil, 0x1000, 0x0})',
    ]);
    expect(program).toContain(
      'ioctl$IOMMU_TEST_OP_MD_CHECK_MAP(r0, 0x3ba0, &(0x7f00000001c0)={0x48, 0x3, r2,',
    );
  });

  test.each(['seed-1', 'seed-23', 'seed-77'])('imports to the same requests: %s', async (name) => {
    const capture = readFixture(name, join(FIXTURES, 'linux-6.12-fuzz-mock'));
    const program = programOf(capture);
    const imported = (await importProgram(name, program)).filter((call) => call.op === 'ioctl');
    const left = program.split('\n').filter((line) => line.startsWith('# left out')).length;
    const asked = capture.calls.filter((call) => call.op === 'ioctl');
    expect(imported.length + left).toBe(asked.length);
    // Which ones were left out, the comments tell in order.
    const marks = program.split('\n').filter((line) => /^(# left out|ioctl\$)/.test(line));
    const written = asked.filter((_, index) => marks[index]!.startsWith('ioctl$'));
    expect(imported.map(requestOf)).toEqual(written.map(requestOf));
  });
});

/** The command and the struct without ids, descriptors and addresses, which the program names otherwise. */
function requestOf(call: IoctlCall): string {
  const bytes = Buffer.from(call.arg ?? []);
  for (const { role, offset, bytes: width } of sitesOf(call))
    if (role !== 'iova') bytes.fill(0, offset, offset + width);
  // Behind the fields of GET_INFO the kernel writes capabilities: what stood there before is no request.
  const asked = call.cmd === CMD.VFIO_IOMMU_GET_INFO ? bytes.subarray(0, 24) : bytes;
  return `${call.kind} ${call.cmd.toString(16)} ${asked.toString('hex')}`;
}
