import { describe, expect, test } from 'vitest';
import { QEMU_LOG } from '../../../src/trace/importers/qemu/index.ts';
import type { IoctlCall } from '../../../src/trace/index.ts';
import { findIoctl, structToJson } from '../../../src/uapi/index.ts';
import { importLines } from './import-lines.ts';

const read = (...lines: readonly string[]) => importLines(QEMU_LOG, lines);

/** `NAME {struct} = ret errno | missing` of each ioctl. */
function ioctls(...lines: readonly string[]): string[] {
  return read(...lines).calls.flatMap((call) => {
    if (call.op !== 'ioctl') return [];
    const { kind, cmd, arg, replied, ret, errno, partial } = call as IoctlCall;
    const entry = findIoctl(kind, cmd)!;
    const struct = JSON.stringify(structToJson(entry.layout!, arg!)).replaceAll('"', '');
    const result = replied ? `${ret}${errno === 0 ? '' : ` errno ${errno}`}` : '?';
    return [`${entry.name} ${struct} = ${result} | ${partial!.missing.join(' ')}`];
  });
}

const AT = '267@1795168804.619966:';

describe('events of every version', () => {
  test.each([
    [
      '8.2: alloc_ioas has a result, connect too',
      [
        `${AT}iommufd_backend_connect  fd=10 owned=1 users=1 (0)`,
        `${AT}iommufd_backend_alloc_ioas  iommufd=10 ioas=2 (0)`,
      ],
      ['IOMMU_IOAS_ALLOC {size:12,flags:0,out_ioas_id:0} = 0 | argp'],
    ],
    [
      '8.2: an ioctl that failed says -1',
      [
        `${AT}iommufd_backend_map_dma  iommufd=10 ioas=2 iova=0xfe800000 size=0x20000 addr=0x7fc7e8ee0000 readonly=0 (-1)`,
      ],
      [
        'IOMMU_IOAS_MAP {size:40,flags:7,ioas_id:2,__reserved:0,user_va:0x7fc7e8ee0000,length:0x20000,iova:0xfe800000} = -1 | argp memory errno',
      ],
    ],
    [
      'a version that prints negative errors',
      [
        `${AT}iommufd_backend_map_dma  iommufd=10 ioas=2 iova=0xfe800000 size=0x20000 addr=(nil) readonly=1 (-14)`,
      ],
      [
        'IOMMU_IOAS_MAP {size:40,flags:5,ioas_id:2,__reserved:0,user_va:0x0,length:0x20000,iova:0xfe800000} = -1 errno 14 | argp memory',
      ],
    ],
    [
      '10.1: a file is mapped',
      [
        `${AT}iommufd_backend_map_file_dma  iommufd=10 ioas=2 iova=0x0 size=0x8000000 fd=12 start=4096 readonly=0 (0)`,
      ],
      [
        'IOMMU_IOAS_MAP_FILE {size:40,flags:7,ioas_id:2,fd:12,start:0x1000,length:0x8000000,iova:0x0} = 0 | argp memory',
      ],
    ],
    [
      '9.1: dirty tracking prints errno itself',
      [
        `${AT}iommufd_backend_set_dirty  iommufd=10 hwpt=3 enable=1 (95)`,
        `${AT}iommufd_backend_get_dirty_bitmap  iommufd=10 hwpt=3 iova=0x0 size=0x1000 page_size=0x1000 (0)`,
      ],
      [
        'IOMMU_HWPT_SET_DIRTY_TRACKING {size:16,flags:1,hwpt_id:3,__reserved:0} = -1 errno 95 | argp',
        'IOMMU_HWPT_GET_DIRTY_BITMAP {size:48,hwpt_id:3,flags:0,__reserved:0,iova:0x0,length:0x1000,page_size:0x1000,data:0x0} = 0 | argp arg.data mem out',
      ],
    ],
    [
      '10.1: flags of the bitmap',
      [
        `${AT}iommufd_backend_get_dirty_bitmap  iommufd=10 hwpt=3 iova=0x0 size=0x1000 flags=0x1 page_size=0x1000 (0)`,
      ],
      [
        'IOMMU_HWPT_GET_DIRTY_BITMAP {size:48,hwpt_id:3,flags:1,__reserved:0,iova:0x0,length:0x1000,page_size:0x1000,data:0x0} = 0 | argp arg.data mem out',
      ],
    ],
    [
      '9.1: page tables',
      [
        `${AT}iommufd_backend_alloc_hwpt  iommufd=10 dev_id=1 pt_id=2 flags=0x1 hwpt_type=0 len=0 data_ptr=0x0 out_hwpt=3 (0)`,
        `${AT}iommufd_backend_free_id  iommufd=10 id=3 (0)`,
      ],
      [
        'IOMMU_HWPT_ALLOC {size:48,flags:1,dev_id:1,pt_id:2,out_hwpt_id:0,__reserved:0,data_type:0,data_len:0,data_uptr:0x0,fault_id:0,__reserved2:0} = 0 | argp',
        'IOMMU_DESTROY {size:8,id:3} = 0 | argp',
      ],
    ],
    [
      '10.1 and 10.2: invalidation under both names of its object',
      [
        `${AT}iommufd_backend_invalidate_cache  iommufd=10 hwpt_id=5 data_type=0 entry_len=16 entry_num=2 done_num=2 data_ptr=0x7f00 (0)`,
        `${AT}iommufd_backend_invalidate_cache  iommufd=10 id=5 data_type=1 entry_len=16 entry_num=2 done_num=1 data_ptr=0x7f00 (5)`,
      ],
      [
        'IOMMU_HWPT_INVALIDATE {size:32,hwpt_id:5,data_uptr:0x7f00,data_type:0,entry_len:16,entry_num:2,__reserved:0} = 0 | argp mem',
        'IOMMU_HWPT_INVALIDATE {size:32,hwpt_id:5,data_uptr:0x7f00,data_type:1,entry_len:16,entry_num:2,__reserved:0} = -1 errno 5 | argp mem',
      ],
    ],
    [
      '11: virtual IOMMUs, in either order of their arguments',
      [
        `${AT}iommufd_backend_alloc_viommu  iommufd=10 type=1 dev_id=1 hwpt_id=4 viommu_id=6 (0)`,
        `${AT}iommufd_backend_alloc_vdev  iommufd=10 dev_id=1 viommu_id=6 virt_id=0x8 vdev_id=7 (0)`,
        `${AT}iommufd_viommu_alloc_eventq  iommufd=10 viommu_id=6 type=1 veventq_id=8 veventq_fd=30 (0)`,
      ],
      [
        'IOMMU_VIOMMU_ALLOC {size:24,flags:0,type:1,dev_id:1,hwpt_id:4,out_viommu_id:0} = 0 | argp arg.size arg.data_len arg.data_uptr mem',
        'IOMMU_VDEVICE_ALLOC {size:24,viommu_id:6,dev_id:1,out_vdevice_id:0,virt_id:0x8} = 0 | argp',
        'IOMMU_VEVENTQ_ALLOC {size:32,flags:0,viommu_id:6,type:1,veventq_depth:0,out_veventq_id:0,out_veventq_fd:0,__reserved:0} = 0 | argp arg.veventq_depth',
      ],
    ],
    [
      '10.2: another process takes over',
      [`${AT}iommufd_change_process fd=10 (1)`, `${AT}iommufd_change_process fd=10 (0)`],
      [
        'IOMMU_IOAS_CHANGE_PROCESS {size:8,__reserved:0} = 0 | argp',
        'IOMMU_IOAS_CHANGE_PROCESS {size:8,__reserved:0} = -1 | argp errno',
      ],
    ],
    [
      '11: attaching with a PASID',
      [
        `${AT}iommufd_cdev_connect_and_bind  [iommufd=10] Successfully bound device 0000:01:00.0 (fd=11): output devid=1`,
        `${AT}iommufd_cdev_pasid_attach_ioas_hwpt  [iommufd=10] Successfully attached device 0000:01:00.0 (11) pasid 5 to id=3`,
        `${AT}iommufd_cdev_pasid_detach_ioas_hwpt  [iommufd=10] Successfully detached 0000:01:00.0 pasid 5`,
      ],
      [
        'VFIO_DEVICE_BIND_IOMMUFD {argsz:16,flags:0,iommufd:10,out_devid:0} = 0 | argp arg.argsz',
        'VFIO_DEVICE_ATTACH_IOMMUFD_PT {argsz:16,flags:1,pt_id:3,pasid:5} = 0 | argp arg.argsz out',
        'VFIO_DEVICE_DETACH_IOMMUFD_PT {argsz:12,flags:1,pasid:5} = 0 | argp arg.argsz',
      ],
    ],
  ])('%s', (_, lines, expected) => {
    expect(ioctls(...lines)).toEqual(expected);
  });

  test('of 11 print type and device of a vIOMMU under the name of the other', () => {
    const bound = `${AT}iommufd_cdev_connect_and_bind  [iommufd=10] Successfully bound device 0000:01:00.0 (fd=11): output devid=7`;
    const made = (type: number, device: number): string =>
      `${AT}iommufd_backend_alloc_viommu  iommufd=10 type=${type} dev_id=${device} hwpt_id=4 viommu_id=6 (0)`;
    const last = (...lines: readonly string[]) => ioctls(...lines).at(-1);
    expect(last(bound, made(7, 1))).toMatch(/type:1,dev_id:7,.*mem$/);
    // A version that has them right.
    expect(last(bound, made(1, 7))).toMatch(/type:1,dev_id:7,.*mem$/);
    // Nothing tells which is which.
    expect(last(made(7, 1))).toMatch(/type:1,dev_id:7,.*mem arg\.type arg\.dev_id$/);
  });

  test('of the simple backend are the same calls as those of the log backend', () => {
    const log = [
      `${AT}iommufd_cdev_getfd  /dev/vfio/devices/vfio0 (fd=11)`,
      `${AT}iommufd_backend_connect fd=10 owned=1 users=1`,
      `${AT}iommufd_cdev_connect_and_bind  [iommufd=10] Successfully bound device 0000:01:00.0 (fd=11): output devid=1`,
      `${AT}iommufd_backend_alloc_ioas  iommufd=10 ioas=2`,
      `${AT}iommufd_cdev_attach_ioas_hwpt  [iommufd=10] Successfully attached device 0000:01:00.0 (11) to id=2`,
      `${AT}iommufd_backend_map_dma  iommufd=10 ioas=2 iova=0x0 size=0x8000000 addr=0x7f0000000000 readonly=0 (-1)`,
      `${AT}iommufd_backend_unmap_dma_non_exist  Unmap nonexistent mapping: iommufd=10 ioas=2 iova=0x0 size=0x1000 (-1)`,
      `${AT}iommufd_cdev_detach_ioas_hwpt  [iommufd=10] Successfully detached 0000:01:00.0`,
      `${AT}iommufd_backend_disconnect fd=-1 users=0`,
    ];
    const simple = [
      "iommufd_cdev_getfd 0.000 pid=267 dev=b'/dev/vfio/devices/vfio0' devfd=0xb",
      'iommufd_backend_connect 3.250 pid=267 fd=0xa owned=0x1 users=0x1',
      "iommufd_cdev_connect_and_bind 9.000 pid=267 iommufd=0xa name=b'0000:01:00.0' devfd=0xb devid=0x1",
      'iommufd_backend_alloc_ioas 1.500 pid=267 iommufd=0xa ioas=0x2',
      'iommufd_cdev_attach_ioas_hwpt 1.000 pid=267 iommufd=0xa name=0000:01:00.0 devfd=0xb id=0x2',
      'iommufd_backend_map_dma 2.000 pid=267 iommufd=0xa ioas=0x2 iova=0x0 size=0x8000000 vaddr=0x7f0000000000 readonly=0x0 ret=0xffffffffffffffff',
      'iommufd_backend_unmap_dma_non_exist 2.000 pid=267 iommufd=0xa ioas=0x2 iova=0x0 size=0x1000 ret=0xffffffff',
      "iommufd_cdev_detach_ioas_hwpt 2.000 pid=267 iommufd=0xa name=b'0000:01:00.0'",
      'iommufd_backend_disconnect 2.000 pid=267 fd=0xffffffffffffffff users=0x0',
    ];
    const bare = (lines: readonly string[]) => read(...lines).calls.map((call) => ({ ...call, tNs: null }));
    expect(bare(simple)).toEqual(bare(log));
    expect(read(...simple).skipped).toEqual([]);
    expect(read(...simple).calls.map(({ tNs }) => tNs)).toEqual([
      ...[0, 3250, 12_250, 13_750, 14_750, 16_750, 18_750, 20_750],
      ...[22_750, 22_750],
    ]);
  });

  test.each([
    ['the time', '2026-11-20T18:00:00.500000Z ', null],
    ['program and thread', 'qemu-system-x86_64: (772366:main): ', 772366],
    ['program and thread without a space', 'qemu-system-x86_64(772366:main): ', 772366],
    ['all of them', '2026-11-20T19:00:00.5+01:00 [fish food] qemu-kvm: (5:CPU 0/KVM): ', 5],
    ['a guest without brackets', '2026-11-20T18:00:00.500Z fish food qemu-kvm: (5:main): ', 5],
    ['a guest and the time', '2026-11-20T18:00:00.500Z [f] ', null],
  ])('of 10.2 and newer come behind %s', (_, prefix, tid) => {
    const event = 'iommufd_backend_unmap_dma  iommufd=10 ioas=2 iova=0x0 size=0x1000 (0)';
    const first = prefix.startsWith('2026')
      ? ['2026-11-20T18:00:00Z iommufd_backend_free_id  iommufd=10 id=3 (0)']
      : [];
    const { calls, skipped } = read(
      ...first,
      `${prefix}${event}`,
      `${prefix}Unable to access fish/ca-cert.pem: gone`,
    );
    expect(calls.at(-1)).toMatchObject({
      op: 'ioctl',
      fd: 10,
      tid,
      tNs: first.length === 0 ? null : 500_000_000,
    });
    expect(skipped).toEqual(['message']);
    expect(QEMU_LOG.detects(`${prefix}${event}`)).toBe(true);
  });

  test('without a prefix, and with messages between them', () => {
    const sink = read(
      'qemu-system-x86_64: warning: IOMMU_IOAS_MAP failed: Bad address, PCI BAR?',
      'iommufd_backend_unmap_dma  iommufd=10 ioas=2 iova=0x0 size=0x1000 (0)',
      '2026-11-20T18:00:00.123456Z iommufd_backend_unmap_dma  iommufd=10 ioas=2 iova=0x1000 size=0x1000 (0)',
      'iommufd_backend_unmap_dma  iommufd=10 ioas=2 io',
      'vfio_something_new one two',
    );
    expect(sink.calls.map(({ op, pid, tid }) => [op, pid, tid])).toEqual([
      ['ioctl', 0, null],
      ['ioctl', 0, null],
    ]);
    expect(sink.skipped).toEqual(['message', 'iommufd_backend_unmap_dma (damaged)', 'vfio_something_new']);
  });
});

describe('the VFIO container', () => {
  const add = (range: string) => `vfio_listener_region_add_ram region_add [ram] ${range} [0x7f0000000000]`;

  test('maps what its listener adds, except parts of pages of a device', () => {
    expect(
      ioctls(
        add('0x0 - 0xfff'),
        add('0xfe000800 - 0xfe000bff'),
        'vfio_listener_region_add_no_dma_map Region "0000:01:00.0 BAR 1" 0xfe000800 size=0x400 is not aligned to 0x1000 and cannot be mapped for DMA',
        'vfio_listener_region_del region_del 0x0 - 0xfff',
        'vfio_listener_region_del region_del 0xfe000800 - 0xfe000bff',
      ),
    ).toEqual([
      'VFIO_IOMMU_MAP_DMA {argsz:32,flags:1,vaddr:0x7f0000000000,iova:0x0,size:0x1000} = ? | argp fd arg.flags memory out ret',
      'VFIO_IOMMU_UNMAP_DMA {argsz:24,flags:0,iova:0x0,size:0x1000} = ? | argp fd out ret',
    ]);
  });

  test('unmaps all of the address space in two halves', () => {
    const unmaps = ioctls('vfio_listener_region_del region_del 0x0 - 0xffffffffffffffff');
    expect(unmaps).toHaveLength(2);
    expect(unmaps[1]).toContain('iova:0x8000000000000000,size:0x8000000000000000');
  });

  test('is not what the listener speaks of under iommufd', () => {
    const backend =
      'iommufd_backend_map_dma  iommufd=10 ioas=2 iova=0x0 size=0x1000 addr=0x7f0000000000 readonly=0 (0)';
    const sink = read(add('0x0 - 0xfff'), backend, add('0x1000 - 0x1fff'));
    expect(sink.calls).toHaveLength(1);
    expect(sink.skipped).toEqual(Array(2).fill('vfio_listener_region_add_ram (told by iommufd_backend_*)'));
  });

  test('is closed by events under the names of every version', () => {
    const sink = read(
      'vfio_put_base_device close vdev->fd=12',
      'vfio_device_put close vdev->fd=13',
      'vfio_put_group close group->fd=8',
      'vfio_container_disconnect close container->fd=9',
    );
    expect(sink.calls.map((call) => [call.op, 'fd' in call && call.fd, 'kind' in call && call.kind])).toEqual(
      [
        ['close', 12, 'device'],
        ['close', 13, 'device'],
        ['close', 8, 'group'],
        ['close', 9, 'container'],
      ],
    );
  });
});
