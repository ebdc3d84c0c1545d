import {
  chooseProfile,
  createKernel,
  execute,
  machineOf,
  NO_EFFECTS,
  predictedStruct,
} from '../src/model/index.ts';
import type { Call, IoctlCall, Note, OpenCall, Topology } from '../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../src/uapi/index.ts';
import { createRandom } from './random.ts';

/**
 * A trace of maps and unmaps for a device behind a VT-d unit. A part of the maps is followed by a note of
 * their physical pages.
 */

const COMMON = { pid: 1000, tid: null, tNs: null, extra: null, replied: true, ret: 0, errno: 0 } as const;
const IOMMUFD = 3;
const DEVICE = 4;
const PAGE = 4096n;
const SLOTS = 32_000;
const SLOT_PAGES = 16;
const FIRST_PAGE = 0x1000;
/** Pages from 0 to the last that the trace may map. */
export const IOVA_PAGES = FIRST_PAGE + SLOTS * SLOT_PAGES;
const USER_MEMORY = 0x7f00_0000_0000n;
/** FIXED_IOVA | WRITEABLE | READABLE. */
const FIXED = 7;

export const MACHINE: Topology = {
  iommu: 'vtd',
  instances: [
    {
      name: 'dmar0',
      pgsizeBitmap: 0x4020_1000n,
      aperture: [0n, 0xffff_ffff_ffffn],
      raw: { scalable_mode: true },
    },
  ],
  devices: [{ path: '/dev/vfio/devices/vfio0', bdf: '0000:00:02.0', group: 1, instance: 'dmar0', raw: {} }],
};

/** `notedMaps`: one of so many maps has a note; 0: none has. */
export function deviceTrace(seed: number, count: number, notedMaps = 4): Call[] {
  const random = createRandom(seed);
  const { profile } = chooseProfile('6.12', 4096);
  const kernel = createKernel(profile, true, NO_EFFECTS, machineOf({ topology: MACHINE, arch: null }));
  const calls: Call[] = [];
  const add = (call: Call): void => {
    execute(kernel, call);
    calls.push(call);
  };
  const ioctl = (fd: number, cmd: number, arg: Uint8Array): Uint8Array => {
    const kind = fd === DEVICE ? 'device' : 'iommufd';
    const call: IoctlCall = {
      ...COMMON,
      op: 'ioctl',
      seq: calls.length,
      fd,
      kind,
      cmd,
      arg,
      argp: 0x7ffc_0000_1000n,
      argFault: false,
      out: null,
      mem: [],
      newFd: null,
    };
    const { ret, errno } = execute(kernel, call);
    const out = predictedStruct(kernel, call) ?? arg;
    calls.push({ ...call, ret, errno, out });
    return out;
  };
  const open = (fd: number, kind: 'iommufd' | 'device', path: string): OpenCall => ({
    ...COMMON,
    op: 'open',
    seq: calls.length,
    ret: fd,
    fd,
    kind,
    path,
    flags: 2n,
  });
  add(open(IOMMUFD, 'iommufd', '/dev/iommu'));
  add(open(DEVICE, 'device', MACHINE.devices[0]!.path!));
  ioctl(
    DEVICE,
    CMD.VFIO_DEVICE_BIND_IOMMUFD,
    buildStruct(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: IOMMUFD }),
  );
  const made = ioctl(IOMMUFD, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  const ioas_id = new DataView(made.buffer, made.byteOffset).getUint32(8, true);
  ioctl(
    DEVICE,
    CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    buildStruct(VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: ioas_id }),
  );
  const live = new Uint8Array(SLOTS);
  while (calls.length < count) {
    const slot = random.below(SLOTS);
    const iova = BigInt(FIRST_PAGE + slot * SLOT_PAGES) * PAGE;
    if (live[slot] === 1) {
      ioctl(
        IOMMUFD,
        CMD.IOMMU_IOAS_UNMAP,
        buildStruct(IOMMU_IOAS_UNMAP, { ioas_id, iova, length: PAGE * BigInt(SLOT_PAGES) }),
      );
      live[slot] = 0;
      continue;
    }
    const pages = 1 + random.below(SLOT_PAGES);
    const user_va = USER_MEMORY + BigInt(slot * SLOT_PAGES) * PAGE;
    ioctl(
      IOMMUFD,
      CMD.IOMMU_IOAS_MAP,
      buildStruct(IOMMU_IOAS_MAP, { flags: FIXED, ioas_id, user_va, length: PAGE * BigInt(pages), iova }),
    );
    live[slot] = 1;
    if (notedMaps === 0 || random.below(notedMaps) > 0) continue;
    const first = 1 + random.below(1 << 28);
    const pfns = Array.from({ length: pages }, (_, page) => first + page + (page > 7 ? 100 : 0));
    const note: Note = {
      ...COMMON,
      op: 'note',
      seq: calls.length,
      kind: 'pagemap',
      fields: { va: `0x${user_va.toString(16)}`, len: pages * 4096, pfns },
    } as Note;
    add(note);
  }
  return calls;
}
