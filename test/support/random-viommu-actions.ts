import {
  buildStruct,
  CMD,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_TYPE,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_INVALIDATE_DATA,
  IOMMU_TEST_OP,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_TYPE,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE,
} from '../../src/uapi/index.ts';
import { PAGE_TABLES } from './random-actions.ts';
import {
  contextOf,
  DATA,
  type Draws,
  descriptorOf,
  idOf,
  lengthOf,
  spanOf,
  type World,
} from './random-world.ts';
import { buffer } from './session.ts';

/** Calls that a kernel has since it has vIOMMUs, PASIDs and dma-bufs; an older one refuses them all. */

const PASIDS = [1, 2, 1024, 0, 0x100000];

export const VIOMMU_ACTIONS = {
  allocViommu: (world: World, draws: Draws) => {
    const [dev_id, hwpt_id] = [idOf(world, draws, 'device'), idOf(world, draws, 'hwpt-paging')];
    const type = draws.below(16) === 0 ? draws.below(3) : IOMMU_VIOMMU_TYPE.SELFTEST;
    const request = buildStruct(IOMMU_VIOMMU_ALLOC, { type, dev_id, hwpt_id });
    world.session.ioctl(world.fd, CMD.IOMMU_VIOMMU_ALLOC, request);
  },
  allocVdevice: (world: World, draws: Draws) => {
    const [viommu_id, dev_id] = [idOf(world, draws, 'viommu'), idOf(world, draws, 'device')];
    const virt_id = [1n, 2n, 0x99n, 2n ** 40n][draws.below(4)]!;
    const request = buildStruct(IOMMU_VDEVICE_ALLOC, { viommu_id, dev_id, virt_id });
    world.session.ioctl(world.fd, CMD.IOMMU_VDEVICE_ALLOC, request);
  },
  allocVeventq: (world: World, draws: Draws) => {
    const viommu_id = idOf(world, draws, 'viommu');
    const type = draws.below(8) === 0 ? draws.below(3) : IOMMU_VEVENTQ_TYPE.SELFTEST;
    const request = buildStruct(IOMMU_VEVENTQ_ALLOC, { viommu_id, type, veventq_depth: draws.below(4) });
    world.session.ioctl(world.fd, CMD.IOMMU_VEVENTQ_ALLOC, request);
  },
  allocHwQueue: (world: World, draws: Draws) => {
    const viommu_id = idOf(world, draws, 'viommu');
    const { iova } = spanOf(world, draws, ioasUnder(world, viommu_id));
    const range = { nesting_parent_iova: iova, length: draws.below(8) === 0 ? lengthOf(draws) : 4096n };
    const queue = { type: IOMMU_HW_QUEUE_TYPE.SELFTEST, index: draws.below(3), ...range };
    const request = buildStruct(IOMMU_HW_QUEUE_ALLOC, { viommu_id, ...queue });
    world.session.ioctl(world.fd, CMD.IOMMU_HW_QUEUE_ALLOC, request);
  },
  triggerEvent: (world: World, draws: Draws) => {
    const dev_id = idOf(world, draws, 'device');
    world.session.selftest(world.fd, IOMMU_TEST_OP.TRIGGER_VEVENT, 0, { dev_id });
  },
  invalidate: (world: World, draws: Draws) => {
    const hwpt_id = idOf(world, draws, 'hwpt-nested', 'viommu');
    const [entry_len, entry_num] = [[8, 24, 4][draws.below(3)]!, draws.below(3)];
    const bytes = Uint8Array.from({ length: entry_len * entry_num }, (_, at) =>
      at % 8 === 0 ? draws.below(4) : 0,
    );
    const fields = {
      hwpt_id,
      data_uptr: DATA,
      data_type: IOMMU_INVALIDATE_DATA.SELFTEST,
      entry_len,
      entry_num,
    };
    const mem = bytes.length === 0 ? [] : [buffer(DATA, bytes)];
    world.session.ioctl(world.fd, CMD.IOMMU_HWPT_INVALIDATE, buildStruct(IOMMU_HWPT_INVALIDATE, fields), mem);
  },
  allocPasidHwpt: (world: World, draws: Draws) => {
    const [dev_id, pt_id] = [idOf(world, draws, 'device'), idOf(world, draws, 'ioas')];
    const flags = [8, 8, 9, 12][draws.below(4)]!;
    const request = buildStruct(IOMMU_HWPT_ALLOC, {
      flags,
      dev_id,
      pt_id,
      fault_id: idOf(world, draws, 'fault'),
    });
    world.session.ioctl(world.fd, CMD.IOMMU_HWPT_ALLOC, request);
  },
  attachPasid: (world: World, draws: Draws) => {
    const [id, pt_id] = [idOf(world, draws, 'selftest'), idOf(world, draws, ...PAGE_TABLES)];
    const op = draws.below(3) === 0 ? IOMMU_TEST_OP.PASID_REPLACE : IOMMU_TEST_OP.PASID_ATTACH;
    world.session.selftest(world.fd, op, id, { pasid: pasidOf(draws), pt_id });
  },
  detachPasid: (world: World, draws: Draws) => {
    const id = idOf(world, draws, 'selftest');
    world.session.selftest(world.fd, IOMMU_TEST_OP.PASID_DETACH, id, { pasid: pasidOf(draws) });
  },
  makeDmabuf: (world: World, draws: Draws) => {
    const length = [4096, 65_536, 0, 1][draws.below(4)]!;
    world.session.selftest(world.fd, IOMMU_TEST_OP.DMABUF_GET, 0, { length, open_flags: 0 });
  },
  revokeDmabuf: (world: World, draws: Draws) => {
    const member = { dmabuf_fd: descriptorOf(world, draws, 'dmabuf'), revoked: draws.below(2) };
    world.session.selftest(world.fd, IOMMU_TEST_OP.DMABUF_REVOKE, 0, member);
  },
} as const;

/** The IOAS behind a vIOMMU's nest parent; 0 when there is none. */
function ioasUnder(world: World, viommuId: number): number {
  const objects = contextOf(world)?.objects ?? {};
  const viommu = objects[viommuId];
  const parent = viommu?.type === 'viommu' ? objects[viommu.hwpt] : undefined;
  return parent?.type === 'hwpt-paging' ? parent.ioas : 0;
}

function pasidOf(draws: Draws): number {
  return PASIDS[Math.min(draws.below(12), draws.below(PASIDS.length))]!;
}
