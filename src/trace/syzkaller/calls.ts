import { CMD, IOMMU_TEST_OP } from '../../uapi/index.ts';
import {
  arrayOf,
  BYTES,
  bytesOf,
  constant,
  flags,
  handle,
  handleOut,
  int,
  intInOut,
  intOut,
  len,
  PAGES,
  pointer,
  type SyzCall,
  type SyzField,
  structOf,
} from './types.ts';

/**
 * The calls that syzkaller describes for /dev/iommu and /dev/vfio/vfio, with the fields of their structs. One
 * table for the importer and the exporter of programs.
 */

const SIZE = len('size', 4);
const FLAGS = flags('flags', 4);
const RESERVED = constant('__reserved', 4);
const IOAS = handle('ioas_id', 'ioas_handle');
const HWPT = handle('hwpt_id', 'hwpt_handle');
const DEVICE = handle('dev_id', 'device_handle');
const RANGES = arrayOf(int('start', 8), int('last', 8));
/** sizeof(struct iommu_test_cmd), which every operation of the selftest is padded to. */
const TEST_BYTES = 72;

const DATA_SELFTEST = 0xdead;
const INVALIDATE_SELFTEST = 0xdeadbeef;

function struct(name: string, cmd: number, ...fields: SyzField[]): SyzCall {
  const sizeBytes = bytesOf(fields);
  return { name: `ioctl$${name}`, cmd, kind: 'iommufd', argument: 'struct', fields, sizeBytes };
}

function test(name: string, op: number, id: SyzField, ...fields: SyzField[]): SyzCall {
  const head = [SIZE, constant('op', 4, op), id, RESERVED];
  const made = struct(`IOMMU_TEST_OP_${name}`, CMD.IOMMU_TEST_CMD, ...head, ...fields);
  return { ...made, sizeBytes: TEST_BYTES };
}

function hwptAlloc(name: string, dataType: number, data: SyzField): SyzCall {
  const made = handleOut('out_hwpt_id', 'hwpt_handle');
  const type = constant('data_type', 4, dataType);
  const fields = [SIZE, FLAGS, DEVICE, handle('pt_id', 'ioas_handle'), made, RESERVED, type];
  return struct(`IOMMU_HWPT_ALLOC$${name}`, CMD.IOMMU_HWPT_ALLOC, ...fields, len('data_len', 4), data);
}

function destroy(name: string, id: SyzField): SyzCall {
  return struct(`IOMMU_DESTROY$${name}`, CMD.IOMMU_DESTROY, SIZE, id);
}

function option(name: string, id: number, object: SyzField): SyzCall {
  const head = [SIZE, constant('option_id', 4, id), flags('op', 2), constant('__reserved', 2), object];
  return struct(`IOMMU_OPTION$${name}`, CMD.IOMMU_OPTION, ...head, intInOut('val64', 8));
}

function vfioIoas(name: string, op: number, id: SyzField): SyzCall {
  const tail = [constant('op', 2, op), constant('__reserved', 2)];
  return struct(`IOMMU_VFIO_IOAS$${name}`, CMD.IOMMU_VFIO_IOAS, SIZE, id, ...tail);
}

/** A command that takes a number instead of a struct, or nothing. */
function plain(name: string, cmd: number, kind: SyzCall['kind'], argument: SyzCall['argument']): SyzCall {
  return { name: `ioctl$${name}`, cmd, kind, argument, fields: [], sizeBytes: 0 };
}

/**
 * The commands of VFIO containers: on /dev/iommu under a name of their own, on /dev/vfio/vfio under that of
 * VFIO.
 */
function containerCalls(kind: SyzCall['kind'], prefix: string): readonly SyzCall[] {
  const of = (name: string, cmd: number, ...fields: SyzField[]): SyzCall => ({
    ...struct(`${prefix}${name}`, cmd, ...fields),
    kind,
  });
  const argsz = len('argsz', 4);
  return [
    plain(`${prefix}VFIO_GET_API_VERSION`, CMD.VFIO_GET_API_VERSION, kind, 'none'),
    plain(`${prefix}VFIO_CHECK_EXTENSION`, CMD.VFIO_CHECK_EXTENSION, kind, 'value'),
    plain(`${prefix}VFIO_SET_IOMMU`, CMD.VFIO_SET_IOMMU, kind, 'value'),
    // The capabilities behind are the kernel's to write: what a program puts there has no effect.
    of(
      'VFIO_IOMMU_GET_INFO',
      CMD.VFIO_IOMMU_GET_INFO,
      argsz,
      constant('flags', 4),
      intOut('iova_pgsizes', 8),
      intOut('cap_offset', 4),
    ),
    of(
      'VFIO_IOMMU_MAP_DMA',
      CMD.VFIO_IOMMU_MAP_DMA,
      argsz,
      FLAGS,
      pointer('vaddr', BYTES),
      int('iova', 8),
      int('size', 8),
    ),
    of('VFIO_IOMMU_UNMAP_DMA', CMD.VFIO_IOMMU_UNMAP_DMA, argsz, FLAGS, int('iova', 8), int('size', 8)),
  ];
}

const MAP_TAIL = [len('length', 8), intInOut('iova', 8)];
const COPY_HEAD = [
  SIZE,
  FLAGS,
  handle('dst_ioas_id', 'ioas_handle'),
  handle('src_ioas_id', 'ioas_handle'),
  int('length', 8),
  intInOut('dst_iova', 8),
];
const MOCK_DOMAIN = [
  handleOut('out_stdev_id', 'selftest_device_handle'),
  handleOut('out_hwpt_id', 'hwpt_handle'),
  handleOut('out_idev_id', 'device_handle'),
];
const IOAS_TARGET = handle('id', 'ioas_handle');
const ACCESS_TARGET = handle('id', 'fd_access');
const NO_TARGET = constant('id', 4);
const NTH = [int('nth_area', 4), int('offset', 4)];
const PAGES_HEAD = [FLAGS, handleOut('out_access_pages_id', 'access_pages_handle')];
const BUFFER = pointer('uptr', BYTES);

/** In the order of preference: of two that fit the same bytes the first is written. */
export const SYZ_CALLS: readonly SyzCall[] = [
  destroy('ioas', handle('id', 'ioas_handle')),
  destroy('stdev', handle('id', 'selftest_device_handle')),
  destroy('hwpt', handle('id', 'hwpt_handle')),
  struct(
    'IOMMU_IOAS_ALLOC',
    CMD.IOMMU_IOAS_ALLOC,
    SIZE,
    constant('flags', 4),
    handleOut('out_ioas_id', 'ioas_handle'),
  ),
  struct(
    'IOMMU_IOAS_IOVA_RANGES',
    CMD.IOMMU_IOAS_IOVA_RANGES,
    SIZE,
    IOAS,
    len('num_iovas', 4),
    RESERVED,
    pointer('allowed_iovas', RANGES),
    intOut('out_iova_alignment', 8),
  ),
  struct(
    'IOMMU_IOAS_ALLOW_IOVAS',
    CMD.IOMMU_IOAS_ALLOW_IOVAS,
    SIZE,
    IOAS,
    len('num_iovas', 4),
    RESERVED,
    pointer('allowed_iovas', RANGES),
  ),
  struct(
    'IOMMU_IOAS_MAP$PAGES',
    CMD.IOMMU_IOAS_MAP,
    SIZE,
    FLAGS,
    IOAS,
    RESERVED,
    pointer('user_va', PAGES),
    ...MAP_TAIL,
  ),
  struct(
    'IOMMU_IOAS_MAP',
    CMD.IOMMU_IOAS_MAP,
    SIZE,
    FLAGS,
    IOAS,
    RESERVED,
    pointer('user_va', BYTES),
    ...MAP_TAIL,
  ),
  struct('IOMMU_IOAS_COPY', CMD.IOMMU_IOAS_COPY, ...COPY_HEAD, int('src_iova', 8)),
  struct('IOMMU_IOAS_COPY$syz', CMD.IOMMU_IOAS_COPY, ...COPY_HEAD, ...NTH),
  struct(
    'IOMMU_IOAS_UNMAP$ALL',
    CMD.IOMMU_IOAS_UNMAP,
    SIZE,
    IOAS,
    constant('iova', 8),
    constant('length', 8, -1n),
  ),
  struct('IOMMU_IOAS_UNMAP', CMD.IOMMU_IOAS_UNMAP, SIZE, IOAS, int('iova', 8), int('length', 8)),
  option('IOMMU_OPTION_RLIMIT_MODE', 0, constant('object_id', 4)),
  option('IOMMU_OPTION_HUGE_PAGES', 1, handle('object_id', 'ioas_handle')),
  vfioIoas('GET', 0, handleOut('ioas_id', 'ioas_handle')),
  vfioIoas('SET', 1, IOAS),
  vfioIoas('CLEAR', 2, constant('ioas_id', 4)),
  hwptAlloc('NONE', 0, pointer('data_uptr', BYTES)),
  hwptAlloc('TEST', DATA_SELFTEST, pointer('data_uptr', structOf(constant('iotlb', 4, 0xbadbeef)))),
  struct(
    'IOMMU_GET_HW_INFO',
    CMD.IOMMU_GET_HW_INFO,
    SIZE,
    constant('flags', 4),
    DEVICE,
    len('data_len', 4),
    pointer('data_uptr', BYTES),
    intOut('out_data_type', 4),
    RESERVED,
    intOut('out_capabilities', 8),
  ),
  struct('IOMMU_HWPT_SET_DIRTY_TRACKING', CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, SIZE, FLAGS, HWPT, RESERVED),
  struct(
    'IOMMU_HWPT_GET_DIRTY_BITMAP',
    CMD.IOMMU_HWPT_GET_DIRTY_BITMAP,
    SIZE,
    HWPT,
    FLAGS,
    RESERVED,
    int('iova', 8),
    int('length', 8),
    int('page_size', 8),
    pointer('data', BYTES),
  ),
  struct(
    'IOMMU_HWPT_INVALIDATE$TEST',
    CMD.IOMMU_HWPT_INVALIDATE,
    SIZE,
    HWPT,
    pointer('data_uptr', arrayOf(FLAGS, int('iotlb_id', 4))),
    constant('data_type', 4, INVALIDATE_SELFTEST),
    constant('entry_len', 4, 8),
    len('entry_num', 4),
    RESERVED,
  ),
  ...containerCalls('iommufd', 'IOMMU_'),
  ...containerCalls('container', ''),
  test('ADD_RESERVED', IOMMU_TEST_OP.ADD_RESERVED, IOAS_TARGET, int('start', 8), int('length', 8)),
  test('MOCK_DOMAIN', IOMMU_TEST_OP.MOCK_DOMAIN, IOAS_TARGET, ...MOCK_DOMAIN),
  // Its description has the number of MOCK_DOMAIN, so that no program can make the call with flags.
  test('MOCK_DOMAIN_FLAGS', IOMMU_TEST_OP.MOCK_DOMAIN, IOAS_TARGET, ...MOCK_DOMAIN, flags('dev_flags', 4)),
  test(
    'MD_CHECK_MAP',
    IOMMU_TEST_OP.MD_CHECK_MAP,
    handle('id', 'hwpt_handle'),
    int('iova', 8),
    len('length', 8),
    BUFFER,
  ),
  test('MD_CHECK_REFS', IOMMU_TEST_OP.MD_CHECK_REFS, NO_TARGET, len('length', 8), BUFFER, int('refs', 4)),
  test(
    'CREATE_ACCESS',
    IOMMU_TEST_OP.CREATE_ACCESS,
    IOAS_TARGET,
    handleOut('out_access_fd', 'fd_access'),
    FLAGS,
  ),
  test(
    'DESTROY_ACCESS_PAGES',
    IOMMU_TEST_OP.DESTROY_ACCESS_PAGES,
    IOAS_TARGET,
    handle('access_pages_id', 'access_pages_handle'),
  ),
  test(
    'ACCESS_PAGES',
    IOMMU_TEST_OP.ACCESS_PAGES,
    ACCESS_TARGET,
    ...PAGES_HEAD,
    int('iova', 8),
    int('length', 8),
    constant('uptr', 8),
  ),
  test(
    'ACCESS_PAGES$syz',
    IOMMU_TEST_OP.ACCESS_PAGES,
    ACCESS_TARGET,
    ...PAGES_HEAD,
    ...NTH,
    int('length', 8),
    constant('uptr', 8),
  ),
  test('ACCESS_RW', IOMMU_TEST_OP.ACCESS_RW, ACCESS_TARGET, int('iova', 8), len('length', 8), BUFFER, FLAGS),
  test('ACCESS_RW$syz', IOMMU_TEST_OP.ACCESS_RW, ACCESS_TARGET, ...NTH, len('length', 8), BUFFER, FLAGS),
  test('SET_TEMP_MEMORY_LIMIT', IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT, NO_TARGET, int('limit', 4)),
  test(
    'MOCK_DOMAIN_REPLACE',
    IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE,
    handle('id', 'selftest_device_handle'),
    handle('pt_id', 'ioas_handle'),
  ),
  test(
    'ACCESS_REPLACE_IOAS',
    IOMMU_TEST_OP.ACCESS_REPLACE_IOAS,
    ACCESS_TARGET,
    handle('ioas_id', 'ioas_handle'),
  ),
];
