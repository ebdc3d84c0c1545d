import { describe, expect, test } from 'vitest';
import { SYZKALLER } from '../../../src/trace/importers/syzkaller/index.ts';
import type { Call } from '../../../src/trace/index.ts';
import { CMD } from '../../../src/uapi/index.ts';
import { replayCalls } from '../../support/imported-replay.ts';
import { importLines, shown } from './import-lines.ts';

const OPEN = "r0 = openat$iommufd(0xffffffffffffff9c, &AUTO='/dev/iommu\\x00', 0x0, 0x0)";
const ALLOC = 'ioctl$IOMMU_IOAS_ALLOC(r0, 0x3b81, &AUTO={0xc, 0x0, <r1=>0x0})';

function ioctlOf(line: string) {
  const call = importLines(SYZKALLER, [OPEN, ALLOC, line]).calls.at(-1)!;
  if (call.op !== 'ioctl') throw new Error(`${call.op} in ${line}`);
  return call;
}

const hex = (bytes: Uint8Array | null) => Buffer.from(bytes ?? []).toString('hex');

describe('a program', () => {
  test('names results that a replay fills in', () => {
    const unmap = ioctlOf('ioctl$IOMMU_IOAS_UNMAP(r0, 0x3b86, &(0x7f0000000040)={0x18, r1, 0x2, 0x1c})');
    expect(unmap).toMatchObject({ fd: 3, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_UNMAP, argp: 0x7f0000000040n });
    expect(hex(unmap.arg)).toBe('180000000000000002000000000000001c00000000000000');
    expect(unmap.partial).toEqual({
      missing: ['ret', 'out'],
      uses: [{ name: 'r1', in: 'arg', at: 4, bytes: 4 }],
    });
    const alloc = importLines(SYZKALLER, [OPEN, ALLOC]).calls.at(-1)!;
    expect(alloc.partial?.defines).toEqual([{ name: 'r1', in: 'arg', at: 8, bytes: 4 }]);
  });

  test('says what its buffers hold', () => {
    const allow = ioctlOf(
      'ioctl$IOMMU_IOAS_ALLOW_IOVAS(r0, 0x3b82, &(0x7f0000000000)={0x18, r1, 0x2, 0x0, &(0x7f0000000100)=[{0x0, 0x1}, {0x3, 0x5}]})',
    );
    expect(allow.mem).toEqual([
      {
        ...{ addr: 0x7f0000000100n, len: 32, dir: 'in', after: null, fault: false, cut: false },
        before: new Uint8Array([
          ...[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
          ...[3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        ]),
      },
    ]);
    const map = ioctlOf(
      'ioctl$IOMMU_IOAS_MAP(r0, 0x3b85, &(0x7f0000000000)={0x28, 0x7, r1, 0x0, ' +
        "&(0x7f0000000200)='L\\x00\\'', 0x3, 0x1c})",
    );
    expect(hex(map.mem[0]!.before as Uint8Array)).toBe('4c0027');
    const pages = ioctlOf(
      'ioctl$IOMMU_IOAS_MAP$PAGES(r0, 0x3b85, &(0x7f0000000000)={0x28, 0x7, r1, 0x0, &(0x7f0000ffc000/0x1000)=nil, 0x1000})',
    );
    expect(hex(pages.arg)).toBe(
      '2800000007000000000000000000000000c0ff00007f000000100000000000000000000000000000',
    );
    expect(pages.mem).toEqual([]);
  });

  test('may leave the types aside', () => {
    const any = ioctlOf(
      'ioctl$IOMMU_DESTROY$ioas(r0, 0x3b80, &(0x7f0000000000)=ANY=[@ANYBLOB="08000000", @ANYRES32=r1])',
    );
    expect(hex(any.arg)).toBe('0800000000000000');
    expect(any.partial?.uses).toEqual([{ name: 'r1', in: 'arg', at: 4, bytes: 4 }]);
    const raw = ioctlOf('ioctl(r0, 0x3b80, &(0x7f0000000000)="0800000005000000")');
    expect(hex(raw.arg)).toBe('0800000005000000');
    expect(ioctlOf('ioctl$IOMMU_DESTROY$ioas(r0, 0x3b80, 0x0)').arg).toBeNull();
  });

  test('keeps constants at the end that it left out', () => {
    const test = ioctlOf('ioctl$IOMMU_TEST_OP_MOCK_DOMAIN(r0, 0x3ba0, &(0x7f0000000000)={0x48, 0x2, r1})');
    expect(test.arg).toHaveLength(0x48);
    const all = ioctlOf('ioctl$IOMMU_IOAS_UNMAP$ALL(r0, 0x3b86, &(0x7f0000000000)={0x18, r1})');
    expect(hex(all.arg)).toBe('18000000000000000000000000000000ffffffffffffffff');
  });

  test('has its own descriptors and names in a log of several', () => {
    const program = [OPEN, ALLOC, 'close(r0)'];
    const { calls, skipped } = shown(SYZKALLER, [
      '# a comment',
      ...program,
      '18:00:01 executing program 1:',
      ...program,
      'ioctl$KVM_RUN(r0, 0xae80, 0x0)',
    ]);
    expect(calls.filter((call) => call.includes('open'))).toEqual([
      'open /dev/iommu iommufd = ? | missing ret',
      '[1001] open /dev/iommu iommufd = ? | missing ret',
    ]);
    expect(skipped).toEqual(['comment', 'beginning of a program', 'ioctl$KVM_RUN']);
  });
});

describe('what a program leaves out', () => {
  test('is the path that a description holds constant', () => {
    for (const path of [
      '&(0x7f0000000000)',
      "&AUTO='/dev/iommu\\x00'",
      '&AUTO=ANY=[@ANYBLOB="2f6465762f696f6d6d7500"]',
    ]) {
      const { calls } = shown(SYZKALLER, [
        `r0 = openat$iommufd(0xffffffffffffff9c, ${path}, 0x2, 0x0)`,
        ALLOC,
      ]);
      expect(calls.slice(1, 2)).toEqual(['open /dev/iommu iommufd = ? | missing ret']);
      expect(calls).toHaveLength(3);
    }
    const { calls } = shown(SYZKALLER, ['openat$vfio(0xffffffffffffff9c, &(0x7f0000000000), 0x2, 0x0)']);
    expect(calls.at(-1)).toBe('open /dev/vfio/vfio container = ? | missing ret');
    // A pointer to nothing opens nothing.
    expect(shown(SYZKALLER, ['openat$iommufd(0xffffffffffffff9c, 0x0, 0x2, 0x0)']).skipped).toEqual([
      'openat$iommufd',
    ]);
  });

  test('is a struct all of which has its default value', () => {
    expect(hex(ioctlOf('ioctl$IOMMU_IOAS_ALLOC(r0, 0x3b81, &(0x7f0000000040))').arg)).toBe('00'.repeat(12));
    const nested = ioctlOf(
      'ioctl$IOMMU_HWPT_ALLOC$TEST(r0, 0x3b89, &(0x7f0000000040)={0x28, 0x0, 0x1, 0x2, 0x0, 0x0, 0xdead, 0x4, &(0x7f0000000100)})',
    );
    expect(hex(nested.mem[0]!.before as Uint8Array)).toBe('efbead0b');
  });

  test('is computed where it says AUTO', () => {
    const map = ioctlOf(
      'ioctl$IOMMU_IOAS_MAP(r0, AUTO, &(0x7f0000000040)={AUTO, 0x7, r1, AUTO, ' +
        "&(0x7f0000000200)='abc', AUTO, 0x1c})",
    );
    expect(map.cmd).toBe(CMD.IOMMU_IOAS_MAP);
    expect(hex(map.arg)).toBe(
      '2800000007000000000000000000000000020000007f000003000000000000001c00000000000000',
    );
    const ranges = ioctlOf(
      'ioctl$IOMMU_IOAS_ALLOW_IOVAS(r0, AUTO, &(0x7f0000000040)={AUTO, r1, AUTO, AUTO, &(0x7f0000000200)=[{0x0, 0x1}, {0x3, 0x5}]})',
    );
    expect(hex(ranges.arg)).toBe('1800000000000000020000000000000000020000007f0000');
  });
});

test('how a call is made is kept beside it, and a comment behind it is none of it', () => {
  const failing = ioctlOf('ioctl$IOMMU_IOAS_ALLOC(r0, 0x3b81, &AUTO={0xc}) (fail_nth: 5) # why');
  expect(failing.extra).toEqual({ properties: 'fail_nth: 5' });
  const { calls } = importLines(SYZKALLER, [OPEN, `${ALLOC} (async, rerun: 3)`]);
  expect(calls.map(({ op }) => op)).toEqual(['mmap', 'open', 'ioctl', 'ioctl', 'ioctl', 'ioctl']);
});

test('copies of a descriptor are followed, and other results are no descriptors of ours', () => {
  const { calls, skipped } = importLines(SYZKALLER, [
    OPEN,
    'r1 = dup(r0)',
    'ioctl$IOMMU_IOAS_ALLOC(r1, 0x3b81, &AUTO={0xc})',
    'r2 = socket(0x1, 0x1, 0x0)',
    'r3 = dup2(r2, r0)',
    'close(r2)',
    'ioctl$IOMMU_IOAS_ALLOC(r9, 0x3b81, &AUTO={0xc})',
    'write$binfmt(r0, &AUTO="$eJzLSM3JyQcABiwCFQ==", -0x1)',
  ]);
  expect(calls.map((call) => ('fd' in call ? `${call.op} ${call.fd}` : call.op))).toEqual([
    ...['mmap -1', 'open 3', 'open 4', 'ioctl 4', 'ioctl -1'],
  ]);
  expect(calls[2]!.extra).toEqual({ via: 'dup', of: 3 });
  expect(calls.at(-1)!.partial?.missing).toContain('fd');
  expect(skipped).toEqual(['socket', 'dup2', 'close', 'write$binfmt']);
});

test('a replay runs it, with the numbers that its own answers give', () => {
  const lines = [
    OPEN,
    ALLOC,
    'ioctl$IOMMU_IOAS_ALLOC(r0, 0x3b81, &AUTO={0xc, 0x0, <r2=>0x0})',
    'ioctl$IOMMU_TEST_OP_MOCK_DOMAIN(r0, 0x3ba0, &AUTO={0x48, 0x2, r2, 0x0, <r3=>0x0, <r4=>0x0, <r5=>0x0})',
    'ioctl$IOMMU_HWPT_ALLOC$NONE(r0, 0x3b89, &AUTO={0x28, 0x0, r5, r2, <r6=>0x0})',
    'ioctl$IOMMU_IOAS_MAP$PAGES(r0, 0x3b85, &AUTO={0x28, 0x7, r1, 0x0, &(0x7f0000ffc000/0x1000)=nil, 0x1000, 0x10000})',
    'ioctl$IOMMU_DESTROY$hwpt(r0, 0x3b80, &AUTO={0x8, r6})',
    'ioctl$IOMMU_DESTROY$ioas(r0, 0x3b80, &AUTO={0x8, r1})',
  ];
  const { calls } = importLines(SYZKALLER, lines);
  const result = replayCalls(
    SYZKALLER.header,
    calls.map((call, seq) => ({ ...call, seq }) as Call),
  );
  expect(result).toMatchObject({ diverged: 0, calls: 9, notModelled: {} });
  expect(result.effects).toMatchObject({
    contextOpened: 1,
    objectCreated: 6,
    objectDestroyed: 2,
    rangeMapped: 1,
    rangeUnmapped: 1,
  });
});
