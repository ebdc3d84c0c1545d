import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { STRACE } from '../../../src/trace/importers/strace/index.ts';
import { readObserved } from '../../support/observed.ts';
import { shown } from './import-lines.ts';

const read = (...lines: readonly string[]) => shown(STRACE, lines);

describe('one call is the same with every set of options of strace', () => {
  const expected = {
    calls: [
      'open /dev/iommu iommufd = 10',
      'ioctl 10 iommufd IOMMU_IOAS_MAP argp 0x7ffc1cc1f770 = -1 errno 14 | missing arg out',
      'close 10 iommufd = 0',
    ],
    skipped: [],
  };
  test.each([
    ['plain', '', ''],
    ['-f', '244   ', ''],
    ['-f on the terminal', '[pid   244] ', ''],
    ['-f -ttt', '244   1795169635.647110 ', ''],
    ['-t', '18:00:00 ', ''],
    ['-f -tt', '244   18:00:00.123456 ', ''],
    ['-r', '     0.000123 ', ''],
    ['-i', '[00007f7a3c0d1b4b] ', ''],
    ['-i, of a thread that is gone', '[????????????????] ', ''],
    ['-f -n', '244 [  16] ', ''],
    ['-f -Y', '244<qemu-system-x86> ', ''],
    ['-f --decode-pids=comm,pidns', "[pid 244<qemu> /* 12 in strace's PID NS */] ", ''],
    ['--relative-timestamps=ns', '244      0.000229912 ', ''],
    ['--timestamps=unix, seconds', '244   1795169635 ', ''],
    ['-T', '244   ', ' <0.000123>'],
  ])('%s', (_, prefix, suffix) => {
    const lines = [
      'openat(AT_FDCWD, "/dev/iommu", O_RDWR|O_CLOEXEC) = 10',
      'ioctl(10, IOMMU_IOAS_MAP, 0x7ffc1cc1f770) = -1 EFAULT (Bad address)',
      'close(10)               = 0',
    ];
    expect(read(...lines.map((line) => `${prefix}${line}${suffix}`))).toEqual(expected);
  });

  test.each([
    ['-y', '10</dev/iommu>'],
    ['-yy', '10</dev/iommu<char 10:125>>'],
  ])('%s, of a descriptor that was open before', (_, descriptor) => {
    const { calls } = read(`ioctl(${descriptor}, IOMMU_IOAS_MAP, 0x7ffc1cc1f770) = -1 EFAULT (Bad address)`);
    expect(calls).toEqual([expected.calls[1]]);
  });

  test.each([
    ['a number', '0x3b85'],
    ['-X raw', '_IOC(_IOC_NONE, 0x3b, 0x85, 0)'],
    ['-X verbose', '0x3b85 /* IOMMU_IOAS_MAP */'],
    ['_IO', '_IO(0x3b, 0x85)'],
  ])('%s as command', (_, command) => {
    const { calls } = read(`ioctl(10</dev/iommu>, ${command}, 0x7ffc1cc1f770) = -1 EFAULT (Bad address)`);
    expect(calls).toEqual([expected.calls[1]]);
  });
});

describe('descriptors', () => {
  test('of devices and queues are told by their links', () => {
    const { calls } = read(
      'ioctl(11<anon_inode:[vfio-device]>, VFIO_DEVICE_RESET) = 0',
      'ioctl(11</dev/vfio/devices/vfio0<char 511:0>>, VFIO_DEVICE_BIND_IOMMUFD or VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0x7ffc) = 0',
      'read(12<anon_inode:[iommufd-pgfault]>, "\\1\\0\\0\\0"..., 64) = 64',
    );
    expect(calls).toEqual([
      'ioctl 11 device VFIO_DEVICE_RESET argp 0x0 = 0',
      'ioctl 11 device VFIO_DEVICE_BIND_IOMMUFD argp 0x7ffc = 0 | missing arg out',
      'read 12 fault = 64 | missing addr out',
    ]);
  });

  test('are told by the command where nothing else tells them', () => {
    const { calls, skipped } = read(
      'ioctl(9, IOMMU_IOAS_ALLOC, 0x7ffc) = 0',
      'ioctl(9, VFIO_DEVICE_FEATURE or VFIO_IOMMU_DIRTY_PAGES or VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 0x7ffc) = 0',
      'ioctl(1, TCGETS, {c_iflag=ICRNL|IXON, ...}) = 0',
      'ioctl(8, KVM_RUN, 0) = 0',
    );
    expect(calls.map((call) => call.split(' ').slice(1, 3))).toEqual([
      ['9', 'iommufd'],
      ['9', '?'],
    ]);
    expect(skipped).toEqual(['ioctl', 'ioctl']);
  });

  test('follow group, device, copies and forks', () => {
    const { calls } = read(
      '1 openat(AT_FDCWD, "/dev/vfio/7", O_RDWR) = 8',
      '1 ioctl(8, VFIO_GROUP_GET_DEVICE_FD, 0x7ffc) = 9',
      '1 fcntl(9, F_DUPFD_CLOEXEC, 20) = 20',
      '1 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 2',
      '2 ioctl(20, VFIO_DEVICE_RESET) = 0',
      '1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, child_tid=0x7f}, 88) = 3',
      '3 close(20) = 0',
    );
    expect(calls).toEqual([
      'open /dev/vfio/7 group = 8',
      'ioctl 8 group VFIO_GROUP_GET_DEVICE_FD argp 0x7ffc = 9 | missing arg out',
      'open  device = 20 | missing path',
      'fork = 2',
      '[2] ioctl 20 device VFIO_DEVICE_RESET argp 0x0 = 0',
      'close 20 device = 0',
    ]);
  });
});

describe('calls in two halves', () => {
  test('belong together by their thread', () => {
    expect(
      read(
        '1 openat(AT_FDCWD, "/dev/iommu", O_RDWR) = 3',
        '1 ioctl(3, IOMMU_IOAS_MAP, 0x1000 <unfinished ...>',
        '2 ioctl(3, IOMMU_IOAS_UNMAP, 0x2000 <unfinished ...>',
        '1 <... ioctl resumed>)              = 0',
        '2 <... ioctl resumed> )             = -1 ENOENT (No such file or directory)',
        '1 ioctl(3, IOMMU_DESTROY <unfinished ...>',
        '1 <... ioctl resumed>, 0x3000)      = 0',
      ),
    ).toEqual({
      calls: [
        'open /dev/iommu iommufd = 3',
        'ioctl 3 iommufd IOMMU_IOAS_MAP argp 0x1000 = 0 | missing arg out',
        'ioctl 3 iommufd IOMMU_IOAS_UNMAP argp 0x2000 = -1 errno 2 | missing arg out',
        'ioctl 3 iommufd IOMMU_DESTROY argp 0x3000 = 0 | missing arg out',
      ],
      skipped: [],
    });
  });

  test('without their other half answer nothing', () => {
    expect(
      read(
        '1 <... ioctl resumed>) = 0',
        '1 ioctl(3</dev/iommu>, IOMMU_IOAS_MAP, 0x1000 <unfinished ...>',
        '1 <... close resumed>) = 0',
        '1 ioctl(3</dev/iommu>, IOMMU_DESTROY, 0x1000 <unfinished ...>',
        '1 +++ killed by SIGKILL +++',
        '2 ioctl(3</dev/iommu>, IOMMU_IOAS_ALLOC, 0x1000 <unfinished ...>',
      ),
    ).toEqual({
      calls: [
        'ioctl 3 iommufd IOMMU_DESTROY argp 0x1000 = ? | missing arg out ret',
        '[2] ioctl 3 iommufd IOMMU_IOAS_ALLOC argp 0x1000 = ? | missing arg out ret'.replace('[2] ', ''),
      ],
      skipped: [
        ...['end of a call without its beginning', 'end of a call without its beginning', 'unfinished call'],
        'end of a thread or process',
      ],
    });
  });
});

test('exec closes what was opened to be closed then', () => {
  const { calls } = read(
    'openat(AT_FDCWD, "/dev/iommu", O_RDWR|O_CLOEXEC) = 3',
    'openat(AT_FDCWD, "/dev/vfio/vfio", O_RDWR) = 4',
    'execve("/bin/true", ["true"], 0x7ffd /* 20 vars */) = 0',
    'close(4) = 0',
  );
  expect(calls.slice(2)).toEqual(['close 3 iommufd = 0 | implied', 'close 4 container = 0']);
});

test('what is not of iommufd, VFIO or memory is counted by its name', () => {
  const { calls, skipped } = read(
    'execve("/usr/bin/qemu", ["qemu", "-x=\\"a) = 0\\""], 0x7ffd /* 20 vars */) = 0',
    'mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7fc7ed1f1000',
    'munmap(0x7fc7ed1f1000, 8192) = 0',
    'openat(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3',
    'exit_group(0) = ?',
    '--- SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER} ---',
    'strace: Process 12 attached',
  );
  expect(calls).toEqual(['mmap -1 ? = 0x7fc7ed1f1000', 'munmap = 0']);
  expect(skipped).toEqual(['execve', 'openat', 'exit_group', 'signal', 'message']);
});

describe('real logs of one program', () => {
  const FOLDER = join(import.meta.dirname, '../../fixtures/strace-options');
  const names = ['base', 'stderr', 'full', 'xraw', 'xverb', 'rawall', 'n', 'decode', 'trel'];

  test.each(names)('%s: all calls, whatever the options', async (name) => {
    const { calls, summary } = await readObserved(join(FOLDER, `${name}.txt.gz`));
    const counts = new Map<string, number>();
    for (const call of calls) {
      const what =
        call.op === 'ioctl' ? `${call.kind} 0x${call.cmd.toString(16)} ${call.ret} ${call.errno}` : call.op;
      counts.set(what, (counts.get(what) ?? 0) + 1);
    }
    expect(Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))).toEqual({
      ...{ close: 7, fork: 1, mmap: 21, munmap: 3, open: 6, waitpid: 1 },
      ...{ 'container 0x3b64 -1 25': 1, 'container 0x3b65 -1 25': 1 },
      ...{ 'iommufd 0x3b80 -1 25': 6, 'iommufd 0x3b81 -1 25': 5 },
      ...{ 'iommufd 0x3b85 -1 25': 200, 'iommufd 0x3b86 -1 25': 200 },
    });
    expect(Object.keys(summary.skipped).filter((what) => /damaged|beginning|unfinished/.test(what))).toEqual(
      [],
    );
  });
});
