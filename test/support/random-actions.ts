import {
  buildStruct,
  CMD,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_DATA,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_TEST_OP,
  IOMMU_VFIO_IOAS,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../src/uapi/index.ts';
import {
  contextOf,
  DATA,
  type Draws,
  descriptorOf,
  type IovaSpan,
  idOf,
  iovaOf,
  kindOf,
  lengthOf,
  MEMORY,
  mapFlags,
  openOn,
  rangeBytes,
  readQueue,
  spanOf,
  unmapLengthOf,
  userOf,
  type World,
} from './random-world.ts';
import { buffer } from './session.ts';

/** What a device can be attached to. */
export const PAGE_TABLES = ['ioas', 'hwpt-paging', 'hwpt-nested'] as const;

const ANY = [
  'ioas',
  'hwpt-paging',
  'hwpt-nested',
  'selftest',
  'fault',
  'device',
  'access',
  'viommu',
  'vdevice',
  'veventq',
  'hw-queue',
] as const;

/** One call, or a change of the world around it, for each name. Most name live objects; some name none. */
export const CONTEXT_ACTIONS = {
  chooseContext: (world: World, draws: Draws) => {
    const open = openOn(world, 'iommufd');
    world.fd = open[draws.below(Math.max(1, open.length))]?.fd ?? world.fd;
  },
  allocIoas: ({ session, fd }: World, draws: Draws) => {
    const flags = draws.below(20) === 0 ? 1 : 0;
    session.ioctl(fd, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, { flags }));
  },
  destroy: (world: World, draws: Draws) => {
    const id = idOf(world, draws, ...ANY);
    world.session.ioctl(world.fd, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id }));
  },
  map: (world: World, draws: Draws) => {
    const ioas_id = idOf(world, draws, 'ioas');
    const [flags, user_va, length] = [mapFlags(draws), userOf(draws), lengthOf(draws)];
    const request = buildStruct(IOMMU_IOAS_MAP, { flags, ioas_id, user_va, length, iova: iovaOf(draws) });
    world.session.ioctl(world.fd, CMD.IOMMU_IOAS_MAP, request);
  },
  unmap: (world: World, draws: Draws) => {
    const ioas_id = idOf(world, draws, 'ioas');
    const request = buildStruct(IOMMU_IOAS_UNMAP, { ioas_id, ...spanOf(world, draws, ioas_id) });
    world.session.ioctl(world.fd, CMD.IOMMU_IOAS_UNMAP, request);
  },
  copy: (world: World, draws: Draws) => {
    const [dst_ioas_id, src_ioas_id] = [idOf(world, draws, 'ioas'), idOf(world, draws, 'ioas')];
    const source = spanOf(world, draws, src_ioas_id);
    const range = { length: source.length, dst_iova: iovaOf(draws), src_iova: source.iova };
    const request = buildStruct(IOMMU_IOAS_COPY, {
      flags: mapFlags(draws),
      dst_ioas_id,
      src_ioas_id,
      ...range,
    });
    world.session.ioctl(world.fd, CMD.IOMMU_IOAS_COPY, request);
  },
  allowIovas: (world: World, draws: Draws) => {
    const ioas_id = idOf(world, draws, 'ioas');
    const first = iovaOf(draws);
    const num_iovas = draws.below(3) === 0 ? 0 : 1;
    const ranges = buffer(DATA, rangeBytes(first, BigInt.asUintN(64, first + 0x10_0000n)));
    const request = buildStruct(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id, num_iovas, allowed_iovas: DATA });
    world.session.ioctl(world.fd, CMD.IOMMU_IOAS_ALLOW_IOVAS, request, [ranges]);
  },
  iovaRanges: (world: World, draws: Draws) => {
    const ioas_id = idOf(world, draws, 'ioas');
    const num_iovas = draws.below(4);
    const room = buffer(DATA, new Uint8Array(16 * Math.max(1, num_iovas)), 'out');
    const request = buildStruct(IOMMU_IOAS_IOVA_RANGES, { ioas_id, num_iovas, allowed_iovas: DATA });
    world.session.ioctl(world.fd, CMD.IOMMU_IOAS_IOVA_RANGES, request, [room]);
  },
  option: (world: World, draws: Draws) => {
    const [option_id, op, val64] = [draws.below(3), draws.below(3), BigInt(draws.below(3))];
    const object_id = option_id === 1 ? idOf(world, draws, 'ioas') : 0;
    world.session.ioctl(
      world.fd,
      CMD.IOMMU_OPTION,
      buildStruct(IOMMU_OPTION, { option_id, op, object_id, val64 }),
    );
  },
  vfioIoas: (world: World, draws: Draws) => {
    const [ioas_id, op] = [idOf(world, draws, 'ioas'), draws.below(4)];
    world.session.ioctl(world.fd, CMD.IOMMU_VFIO_IOAS, buildStruct(IOMMU_VFIO_IOAS, { ioas_id, op }));
  },
  vfioMap: ({ session, fd }: World, draws: Draws) => {
    const range = { vaddr: userOf(draws), iova: iovaOf(draws), size: lengthOf(draws) };
    const request = buildStruct(VFIO_IOMMU_MAP_DMA, { flags: 1 + draws.below(3), ...range });
    session.ioctl(fd, CMD.VFIO_IOMMU_MAP_DMA, request);
  },
  vfioUnmap: ({ session, fd }: World, draws: Draws) => {
    const [iova, size] = [iovaOf(draws), unmapLengthOf(draws)];
    session.ioctl(fd, CMD.VFIO_IOMMU_UNMAP_DMA, buildStruct(VFIO_IOMMU_UNMAP_DMA, { iova, size }));
  },
  mockDomain: (world: World, draws: Draws) => {
    const pt = idOf(world, draws, 'ioas', 'hwpt-paging');
    const dev_flags = [0, 0, 0, 1, 2, 3, 4][draws.below(7)]!;
    world.session.selftest(world.fd, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS, pt, { dev_flags });
  },
  replace: (world: World, draws: Draws) => {
    const id = idOf(world, draws, 'selftest');
    const pt_id = idOf(world, draws, ...PAGE_TABLES);
    world.session.selftest(world.fd, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, id, { pt_id });
  },
  allocHwpt: (world: World, draws: Draws) => {
    const [dev_id, pt_id] = [idOf(world, draws, 'device'), idOf(world, draws, 'ioas')];
    const flags = [0, 1, 1, 1, 2, 3, 4, 8][draws.below(8)]!;
    const request = buildStruct(IOMMU_HWPT_ALLOC, { flags, dev_id, pt_id });
    world.session.ioctl(world.fd, CMD.IOMMU_HWPT_ALLOC, request);
  },
  allocNested: (world: World, draws: Draws) => {
    const [dev_id, pt_id] = [idOf(world, draws, 'device'), idOf(world, draws, 'hwpt-paging', 'viommu')];
    const fault_id = idOf(world, draws, 'fault');
    const data = { data_type: IOMMU_HWPT_DATA.SELFTEST, data_len: 4, data_uptr: DATA, fault_id };
    const request = buildStruct(IOMMU_HWPT_ALLOC, { flags: draws.below(2) * 4, dev_id, pt_id, ...data });
    world.session.ioctl(world.fd, CMD.IOMMU_HWPT_ALLOC, request, [buffer(DATA, new Uint8Array(4).fill(7))]);
  },
  allocFaultQueue: (world: World) => {
    const request = buildStruct(IOMMU_FAULT_QUEUE_ALLOC, {});
    world.session.ioctl(world.fd, CMD.IOMMU_FAULT_QUEUE_ALLOC, request);
  },
  triggerFault: (world: World, draws: Draws) => {
    const fault = { dev_id: idOf(world, draws, 'device'), grpid: draws.below(4), perm: 1, addr: 0x1000n };
    world.session.selftest(world.fd, IOMMU_TEST_OP.TRIGGER_IOPF, 0, fault);
  },
  readFault: (world: World, draws: Draws) => {
    readQueue(world, draws, [40, 80, 39][draws.below(3)]!);
  },
  addReserved: (world: World, draws: Draws) => {
    const range = { start: iovaOf(draws), length: lengthOf(draws) };
    world.session.selftest(world.fd, IOMMU_TEST_OP.ADD_RESERVED, idOf(world, draws, 'ioas'), range);
  },
  trackDirty: (world: World, draws: Draws) => {
    const request = buildStruct(IOMMU_HWPT_SET_DIRTY_TRACKING, {
      flags: draws.below(2),
      hwpt_id: idOf(world, draws, 'hwpt-paging'),
    });
    world.session.ioctl(world.fd, CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, request);
  },
  createAccess: (world: World, draws: Draws) => {
    const id = idOf(world, draws, 'ioas');
    const flags = [1, 1, 0, 2][draws.below(4)]!;
    world.session.selftest(world.fd, IOMMU_TEST_OP.CREATE_ACCESS, id, { flags });
  },
  replaceAccess: (world: World, draws: Draws) => {
    const ioas_id = idOf(world, draws, 'ioas');
    const access = descriptorOf(world, draws, 'access');
    world.session.selftest(world.fd, IOMMU_TEST_OP.ACCESS_REPLACE_IOAS, access, { ioas_id });
  },
  pin: (world: World, draws: Draws) => {
    const access = descriptorOf(world, draws, 'access');
    const range = { flags: draws.below(2), ...accessedSpan(world, draws, access), uptr: 0n };
    world.session.selftest(world.fd, IOMMU_TEST_OP.ACCESS_PAGES, access, range);
  },
  unpin: (world: World, draws: Draws) => {
    const access = descriptorOf(world, draws, 'access');
    const member = { access_pages_id: draws.below(4) };
    world.session.selftest(world.fd, IOMMU_TEST_OP.DESTROY_ACCESS_PAGES, access, member);
  },
  readOrWrite: (world: World, draws: Draws) => {
    const access = descriptorOf(world, draws, 'access');
    const range = { ...accessedSpan(world, draws, access), uptr: userOf(draws), flags: draws.below(6) };
    world.session.selftest(world.fd, IOMMU_TEST_OP.ACCESS_RW, access, range);
  },
  closeOther: (world: World, draws: Draws) => {
    const open = openOn(world, 'access', 'fault', 'veventq', 'dmabuf');
    const closed = open[draws.below(Math.max(1, open.length))];
    if (closed !== undefined) world.session.close(closed.fd, kindOf(closed.file));
  },
  unmapMemory: ({ session }: World, draws: Draws) => {
    const address = MEMORY + BigInt(draws.below(64)) * 4096n;
    if (draws.below(2) === 0) session.munmap(address, 4096n);
    else session.mmap(address, 8192n, [1, 3][draws.below(2)]!);
  },
  nonsense: ({ session, fd }: World, draws: Draws) => {
    const bytes = Uint8Array.from({ length: 4 + draws.below(80) }, () => draws.below(256));
    new DataView(bytes.buffer).setUint32(0, draws.below(2) === 0 ? bytes.length : draws.below(100), true);
    session.ioctl(fd, 0x3b80 + draws.below(0x22), bytes);
  },
} as const;

/** Mostly an area of the IOAS that an access object is attached to. */
function accessedSpan(world: World, draws: Draws, fd: number): IovaSpan {
  const file = openOn(world, 'access').find((each) => each.fd === fd)?.file;
  const access = contextOf(world)?.objects[file?.object ?? 0];
  return spanOf(world, draws, access?.type === 'access' ? access.ioas : 0);
}
