import {
  buildStruct,
  CMD,
  type FieldValue,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_DATA,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_DEVICE_FLAGS,
  IOMMU_TEST_OP,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_TYPE,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../../src/uapi/index.ts';
import type { Hardware } from './random-hardware.ts';
import { openDevice } from './random-vfio-actions.ts';
import { DATA, FDS, MEMORY, openWorld, type RandomRelease, SLOT_BYTES, type World } from './random-world.ts';
import { buffer, type Session, u32At } from './session.ts';

/** Contexts with something in them: random calls alone seldom get as far. */

export function openFurnishedWorld(release: RandomRelease, hardware: Hardware): World {
  const world = openWorld(release, hardware);
  for (const fd of FDS) furnishContext(world, fd);
  furnishFaults(world, FDS[1]!);
  furnishDevices(world);
  if (release === '6.12') return world;
  furnishViommu(world, FDS[0]!);
  for (const fd of FDS) furnishPasid(world, fd);
  return world;
}

/**
 * Objects 1 to 7: two IOASes with an area each, the first with a device, a page table to nest on and an
 * access object.
 */
function furnishContext({ session }: World, fd: number): void {
  for (let made = 0; made < 2; made += 1) {
    session.ioctl(fd, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  }
  session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN, 1);
  const nests = buildStruct(IOMMU_HWPT_ALLOC, { flags: 1, dev_id: 4, pt_id: 1 });
  session.ioctl(fd, CMD.IOMMU_HWPT_ALLOC, nests);
  for (const [ioas_id, iova] of [
    [1, 0x100_0000n],
    [2, 0x100_4000n],
  ] as const) {
    const request = buildStruct(IOMMU_IOAS_MAP, {
      flags: 7,
      ioas_id,
      user_va: MEMORY,
      length: SLOT_BYTES,
      iova,
    });
    session.ioctl(fd, CMD.IOMMU_IOAS_MAP, request);
  }
  session.selftest(fd, IOMMU_TEST_OP.CREATE_ACCESS, 1, { flags: 1 });
}

/** Both devices of the first group, bound and attached to an IOAS of their own. */
function furnishDevices(world: World): void {
  const { session } = world;
  if (session.kernel.machine.devices.length === 0) return;
  const fd = FDS[0]!;
  const made = session.ioctl(fd, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  const pt_id = u32At(made.out, 8);
  for (const { path } of session.kernel.machine.devices.slice(0, 2)) {
    const device = openDevice(world, path);
    const binding = buildStruct(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: fd });
    session.ioctl(device, CMD.VFIO_DEVICE_BIND_IOMMUFD, binding, [], undefined, 'device');
    const attach = buildStruct(VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id });
    session.ioctl(device, CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach, [], undefined, 'device');
  }
}

/** A device whose faults a queue gets: on a page table nested on object 6. */
function furnishFaults({ session }: World, fd: number): void {
  const queue = session.ioctl(fd, CMD.IOMMU_FAULT_QUEUE_ALLOC, buildStruct(IOMMU_FAULT_QUEUE_ALLOC, {}));
  const fault_id = u32At(queue.out, 8);
  const nested = allocHwpt(session, fd, { flags: 4, dev_id: 4, pt_id: 6, fault_id, ...DRIVER_DATA });
  session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 3, { pt_id: nested });
}

/** A vIOMMU with a vDEVICE and a queue of events, and its device on a page table nested on it. */
function furnishViommu({ session }: World, fd: number): void {
  const type = IOMMU_VIOMMU_TYPE.SELFTEST;
  const request = buildStruct(IOMMU_VIOMMU_ALLOC, { type, dev_id: 4, hwpt_id: 6 });
  const viommu_id = u32At(session.ioctl(fd, CMD.IOMMU_VIOMMU_ALLOC, request).out, 20);
  const virtual = buildStruct(IOMMU_VDEVICE_ALLOC, { viommu_id, dev_id: 4, virt_id: 0x99n });
  session.ioctl(fd, CMD.IOMMU_VDEVICE_ALLOC, virtual);
  const queue = { viommu_id, type: IOMMU_VEVENTQ_TYPE.SELFTEST, veventq_depth: 2 };
  session.ioctl(fd, CMD.IOMMU_VEVENTQ_ALLOC, buildStruct(IOMMU_VEVENTQ_ALLOC, queue));
  const nested = allocHwpt(session, fd, { dev_id: 4, pt_id: viommu_id, ...DRIVER_DATA });
  session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 3, { pt_id: nested });
}

/** A device that is attached twice, with and without a PASID, to a page table that allows for it. */
function furnishPasid({ session }: World, fd: number): void {
  const dev_flags = IOMMU_TEST_DEVICE_FLAGS.PASID;
  const { out } = session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS, 2, { dev_flags });
  const id = u32At(out, 16);
  const pt_id = allocHwpt(session, fd, { flags: 8, dev_id: u32At(out, 24), pt_id: 2 });
  session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, id, { pt_id });
  session.selftest(fd, IOMMU_TEST_OP.PASID_ATTACH, id, { pasid: 1, pt_id });
}

const DRIVER_DATA = { data_type: IOMMU_HWPT_DATA.SELFTEST, data_len: 4, data_uptr: DATA };

function allocHwpt(session: Session, fd: number, fields: Readonly<Record<string, FieldValue>>): number {
  const mem = 'data_uptr' in fields ? [buffer(DATA, new Uint8Array(4))] : [];
  const { out } = session.ioctl(fd, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, fields), mem);
  return u32At(out, 16);
}
