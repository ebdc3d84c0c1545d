import { describe, expect, test } from 'vitest';
import {
  buildStruct,
  findIoctl,
  HW_INFO_RECORDS,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_PGFAULT,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_OPTION,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  renderArgument,
  renderReply,
  renderStruct,
  structToJson,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
} from '../../src/uapi/index.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

const MAP_FIELDS = { flags: 7, ioas_id: 1, user_va: 0x7f00_0000_0000n, length: 0x2000n };

describe('renderStruct', () => {
  test.each([
    [
      'IOAS_MAP',
      renderStruct(IOMMU_IOAS_MAP, buildStruct(IOMMU_IOAS_MAP, { ...MAP_FIELDS, iova: 0x1000000n })),
      '{flags=FIXED_IOVA|WRITEABLE|READABLE, ioas_id=1, user_va=0x7f0000000000, length=0x2000, iova=0x1000000}',
    ],
    [
      'an older, shorter HWPT_ALLOC shows its size and no field beyond it',
      renderStruct(
        IOMMU_HWPT_ALLOC,
        buildStruct(IOMMU_HWPT_ALLOC, { flags: 1, dev_id: 3 }, { lengthBytes: 24 }),
      ),
      '{size=24, flags=NEST_PARENT, dev_id=3, pt_id=0}',
    ],
    ['IOAS_ALLOC', renderStruct(IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})), '{flags=0}'],
    [
      'a struct that is too short',
      renderStruct(IOMMU_IOAS_ALLOC, hex('04000000')),
      '{size=4, … (4 of 12 bytes)}',
    ],
    [
      'a reserved field that is not zero, and a tail',
      renderStruct(IOMMU_OPTION, hex('1c000000010000000100070000000000000000000000000000000009')),
      '{size=28, option_id=HUGE_PAGES, op=GET, __reserved=7, object_id=0, val64=0, tail@24=00000009}',
    ],
    [
      'MOCK_DOMAIN',
      renderStruct(IOMMU_TEST_CMD, buildStruct(IOMMU_TEST_CMD, { op: IOMMU_TEST_OP.MOCK_DOMAIN, id: 1 })),
      '{op=MOCK_DOMAIN, id=1}',
    ],
    [
      'a union field with the name of another',
      renderStruct(
        IOMMU_TEST_CMD,
        buildStruct(IOMMU_TEST_CMD, { op: 14, id: 5 }, { member: { id: 2, iotlb: 0xbadbeef } }),
      ),
      '{op=MD_CHECK_IOTLB, id=5, check_iotlb.id=2, iotlb=0xbadbeef}',
    ],
    [
      'an operation that nobody knows',
      renderStruct(IOMMU_TEST_CMD, buildStruct(IOMMU_TEST_CMD, { op: 200, id: 1 })),
      '{op=200, id=1}',
    ],
    [
      'MAP_DMA',
      renderStruct(
        VFIO_IOMMU_MAP_DMA,
        buildStruct(VFIO_IOMMU_MAP_DMA, { flags: 3, iova: 0x1000n, size: 0x1000n }),
      ),
      '{flags=READ|WRITE, vaddr=0, iova=0x1000, size=0x1000}',
    ],
    [
      'an event record shows its zeros',
      renderStruct(IOMMU_HWPT_PGFAULT, buildStruct(IOMMU_HWPT_PGFAULT, { flags: 3, dev_id: 2, perm: 3 })),
      '{flags=PASID_VALID|LAST_PAGE, dev_id=2, pasid=0, grpid=0, perm=READ|WRITE, addr=0, length=0, cookie=0}',
    ],
  ])('%s', (_what, text, expected) => {
    expect(text).toBe(expected);
  });

  test('a hardware info record is found by its type', () => {
    const layout = HW_INFO_RECORDS.get(1)!;
    expect(renderStruct(layout, hex('0000000000000000660c1e2669208c008601f0dd01000000'))).toBe(
      '{flags=0, cap_reg=0x8c2069261e0c66, ecap_reg=0x1ddf00186}',
    );
  });
});

describe('renderReply', () => {
  test('shows what the kernel wrote', () => {
    const before = buildStruct(IOMMU_IOAS_ALLOC, {});
    expect(renderReply(IOMMU_IOAS_ALLOC, before, buildStruct(IOMMU_IOAS_ALLOC, { out_ioas_id: 1 }))).toBe(
      '{out_ioas_id=1}',
    );
    expect(renderReply(IOMMU_IOAS_ALLOC, before, before)).toBe('{}');
  });

  test('shows an answer that was in the struct already, unless the call failed', () => {
    const reused = buildStruct(IOMMU_IOAS_ALLOC, { out_ioas_id: 1 });
    expect(renderReply(IOMMU_IOAS_ALLOC, reused, reused)).toBe('{out_ioas_id=1}');
    expect(renderReply(IOMMU_IOAS_ALLOC, reused, reused, true)).toBe('{}');
  });

  test('shows a chosen IOVA, not one that was given', () => {
    const before = buildStruct(IOMMU_IOAS_MAP, MAP_FIELDS);
    const after = buildStruct(IOMMU_IOAS_MAP, { ...MAP_FIELDS, iova: 0x1000000n });
    expect(renderReply(IOMMU_IOAS_MAP, before, after)).toBe('{iova=0x1000000}');
    expect(renderReply(IOMMU_IOAS_MAP, after, after)).toBe('{}');
  });

  test('MOCK_DOMAIN answers three ids', () => {
    const op = { op: IOMMU_TEST_OP.MOCK_DOMAIN, id: 1 };
    const before = buildStruct(IOMMU_TEST_CMD, op);
    const member = { out_stdev_id: 2, out_hwpt_id: 4, out_idev_id: 3 };
    expect(renderReply(IOMMU_TEST_CMD, before, buildStruct(IOMMU_TEST_CMD, op, { member }))).toBe(
      '{out_stdev_id=2, out_hwpt_id=4, out_idev_id=3}',
    );
  });

  test('GET_HW_INFO answers types and capabilities by name', () => {
    const before = buildStruct(IOMMU_GET_HW_INFO, { dev_id: 3 });
    const fields = { dev_id: 3, data_len: 8, out_data_type: 0xfeedbeef, out_capabilities: 9n };
    expect(renderReply(IOMMU_GET_HW_INFO, before, buildStruct(IOMMU_GET_HW_INFO, fields))).toBe(
      '{data_len=8, out_data_type=SELFTEST, out_capabilities=DIRTY_TRACKING|PCI_ATS_NOT_SUPPORTED}',
    );
  });

  test('capabilities after GET_INFO are a tail', () => {
    const before = buildStruct(VFIO_IOMMU_GET_INFO, {}, { lengthBytes: 36 });
    const after = buildStruct(VFIO_IOMMU_GET_INFO, { flags: 3, cap_offset: 24 }, { lengthBytes: 36 });
    after.set(hex('0300010000000000ffffffff'), 24);
    expect(renderReply(VFIO_IOMMU_GET_INFO, before, after)).toBe(
      '{flags=PGSIZES|CAPS, cap_offset=24, tail@24=0300010000000000ffffffff}',
    );
  });
});

describe('renderArgument', () => {
  const show = (kind: string, cmd: number, argp: bigint, arg: string | null): string =>
    renderArgument(findIoctl(kind, cmd)!, argp, arg === null ? null : hex(arg));

  test.each([
    ['a number by name', show('container', 0x3b66, 3n, null), 'TYPE1v2'],
    ['no argument', show('device', 0x3b6f, 0n, null), ''],
    ['a string', show('group', 0x3b6a, 0x7fn, '303030303a30303a30342e3000'), '"0000:00:04.0"'],
    ['a bad pointer', show('iommufd', 0x3b85, 0n, null), 'NULL'],
    ['a descriptor behind a pointer', show('group', 0x3b68, 0x7fn, '03000000'), '{container_fd=3}'],
    [
      'event descriptors',
      show('device', 0x3b6e, 0x7fn, '18000000240000000000000000000000010000000b000000'),
      '{argsz=24, flags=DATA_EVENTFD|ACTION_TRIGGER, index=0, start=0, count=1, data=[11]}',
    ],
    [
      'a VFIO feature',
      show('device', 0x3b75, 0x7fn, '10000000010001000000000000000000'),
      '{argsz=16, flags=GET|MIGRATION}',
    ],
  ])('%s', (_what, text, expected) => {
    expect(text).toBe(expected);
  });
});

describe('structToJson', () => {
  test('numbers, and 64 bits as hex strings', () => {
    const bytes = buildStruct(VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: 4 }, { lengthBytes: 12 });
    expect(structToJson(VFIO_DEVICE_ATTACH_IOMMUFD_PT, bytes)).toEqual({ argsz: 12, flags: 0, pt_id: 4 });
    const map = buildStruct(IOMMU_IOAS_MAP, MAP_FIELDS);
    expect(structToJson(IOMMU_IOAS_MAP, map)).toMatchObject({
      size: 40,
      user_va: '0x7f0000000000',
      iova: '0x0',
    });
  });

  test('the union member under its name, other bytes under raw', () => {
    const fields = { op: IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT };
    const bytes = buildStruct(IOMMU_TEST_CMD, fields, { member: { limit: 65536 } });
    bytes[21] = 1;
    expect(JSON.parse(JSON.stringify(structToJson(IOMMU_TEST_CMD, bytes)))).toEqual({
      size: 72,
      op: 9,
      id: 0,
      __reserved: 0,
      memory_limit: { limit: 65536 },
      last: 0,
      raw: { 20: `0001${'00'.repeat(42)}` },
    });
  });
});
