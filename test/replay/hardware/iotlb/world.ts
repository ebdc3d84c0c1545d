import { type IotlbOptions, type IotlbProjection, tellBoth, watchIotlb } from '../../../../replay/index.ts';
import { chooseProfile, createKernel, execute, type Iommu } from '../../../../src/model/index.ts';
import type { Call } from '../../../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  type StructLayout,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '../../../../src/uapi/index.ts';
import { type Hardware, machineFor } from '../../../support/random-hardware.ts';
import { buffer, PID, startSession, u32At } from '../../../support/session.ts';

/** A program with one device behind an IOMMU, watched by any number of IOTLBs at once. */
export interface World {
  readonly iotlbs: readonly IotlbProjection[];
  readonly ioas: number;
  /** Object id of the bound device. */
  readonly device: number;
  map(iova: number, va: number, pages: number): boolean;
  unmap(iova: number, pages: number): boolean;
  attach(pt: number): boolean;
  detach(): boolean;
  /** @returns the HWPT's id, 0 when the kernel refused. */
  allocate(parent: number, flags?: number, data?: Uint8Array): number;
  destroy(id: number): boolean;
  /** Writes user memory, and a note tells of it. */
  write(va: number, bytes: Uint8Array): void;
  invalidate(hwpt: number, entries: Uint8Array, count: number): boolean;
}

const IOMMUFD = 3;
const DEVICE = 4;
/** User memory, and how much of it. */
export const MEMORY = 0x10_0000_0000;
const MEMORY_BYTES = 0x400_0000n;

/** An SMMUv3 says in IDR0 whether it has ATS. */
function withAts(iommu: Iommu): Iommu {
  if (iommu.driver !== 'smmuv3' || iommu.hwInfo === null) return iommu;
  const bytes = Uint8Array.from(iommu.hwInfo.bytes);
  bytes[9]! |= 1 << 2;
  return { ...iommu, hwInfo: { ...iommu.hwInfo, bytes } };
}

export function startWorld(
  hardware: Exclude<Hardware, 'mock'>,
  release: string,
  options: readonly IotlbOptions[],
  deviceIndex = 2,
): World {
  const { profile } = chooseProfile(release, 4096);
  const machine = machineFor(hardware, release);
  // Half of what there is to invalidate is in devices.
  const devices = machine.devices.map((device) => ({ ...device, iommu: withAts(device.iommu), ats: true }));
  const kernel = createKernel(profile, false, undefined, {
    ...machine,
    devices,
    iommus: machine.iommus.map(withAts),
  });
  const iotlbs = options.map((each) => watchIotlb(kernel, each));
  for (const { effects } of iotlbs) kernel.effects = tellBoth(kernel.effects, effects);
  const session = startSession(kernel);
  const watched = <T>(work: () => T): T => {
    const before = session.calls.length;
    for (const iotlb of iotlbs) iotlb.before(session.calls[0] as Call);
    const result = work();
    for (const call of session.calls.slice(before)) for (const iotlb of iotlbs) iotlb.after(call, 'matched');
    return result;
  };
  const ask = <const L extends StructLayout>(
    cmd: number,
    layout: L,
    fields: Parameters<typeof buildStruct<L>>[1],
    mem: Parameters<typeof session.ioctl>[3] = [],
    kind: 'iommufd' | 'device' = 'iommufd',
  ) =>
    watched(() =>
      session.ioctl(kind === 'device' ? DEVICE : IOMMUFD, cmd, buildStruct(layout, fields), mem, PID, kind),
    );
  watched(() => session.open(IOMMUFD));
  watched(() => session.mmap(BigInt(MEMORY), MEMORY_BYTES));
  const open: Call = {
    ...{ op: 'open', seq: session.calls.length, pid: PID, tid: null, tNs: null, extra: null },
    ...{ replied: true, ret: DEVICE, errno: 0, fd: DEVICE, kind: 'device', flags: 2n },
    path: `/dev/vfio/devices/vfio${deviceIndex}`,
  };
  watched(() => {
    execute(kernel, open);
    session.calls.push(open);
  });
  const bound = ask(
    CMD.VFIO_DEVICE_BIND_IOMMUFD,
    VFIO_DEVICE_BIND_IOMMUFD,
    { iommufd: IOMMUFD },
    [],
    'device',
  );
  const ioas = u32At(ask(CMD.IOMMU_IOAS_ALLOC, IOMMU_IOAS_ALLOC, {}).out, 8);
  const device = u32At(bound.out, 12);
  return {
    iotlbs,
    ioas,
    device,
    map: (iova, va, pages) =>
      ask(CMD.IOMMU_IOAS_MAP, IOMMU_IOAS_MAP, {
        flags: 7,
        ioas_id: ioas,
        user_va: BigInt(va),
        length: BigInt(pages * 4096),
        iova: BigInt(iova),
      }).errno === 0,
    unmap: (iova, pages) =>
      ask(CMD.IOMMU_IOAS_UNMAP, IOMMU_IOAS_UNMAP, {
        ioas_id: ioas,
        iova: BigInt(iova),
        length: BigInt(pages * 4096),
      }).errno === 0,
    attach: (pt) =>
      ask(CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: pt }, [], 'device')
        .errno === 0,
    detach: () =>
      ask(CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT, {}, [], 'device').errno === 0,
    allocate(parent, flags = 0, data) {
      const address = MEMORY + 0x300_0000;
      const mem = data === undefined ? [] : [buffer(BigInt(address), data)];
      const { errno, out } = ask(
        CMD.IOMMU_HWPT_ALLOC,
        IOMMU_HWPT_ALLOC,
        {
          flags,
          dev_id: device,
          pt_id: parent,
          ...(data === undefined ? {} : { data_type: 1, data_len: data.length, data_uptr: BigInt(address) }),
        },
        mem,
      );
      return errno === 0 ? u32At(out, 16) : 0;
    },
    destroy: (id) => ask(CMD.IOMMU_DESTROY, IOMMU_DESTROY, { id }).errno === 0,
    write: (va, bytes) =>
      watched(() =>
        session.note('usermem', {
          va: `0x${va.toString(16)}`,
          len: bytes.length,
          hex: Buffer.from(bytes).toString('hex'),
        }),
      ),
    invalidate(hwpt, entries, count) {
      const address = MEMORY + 0x301_0000;
      const fields = {
        hwpt_id: hwpt,
        data_uptr: BigInt(address),
        data_type: 0,
        entry_len: 24,
        entry_num: count,
      };
      return (
        ask(CMD.IOMMU_HWPT_INVALIDATE, IOMMU_HWPT_INVALIDATE, fields, [buffer(BigInt(address), entries)])
          .errno === 0
      );
    },
  };
}
