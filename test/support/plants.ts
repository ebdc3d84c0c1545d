import type { Call, IoctlCall } from '../../src/trace/index.ts';
import { CMD, IOMMU_TEST_OP as OP } from '../../src/uapi/index.ts';
import {
  type Change,
  drop,
  type Finds,
  insertBefore,
  ioctl,
  moveBefore,
  set,
  testOp,
  twice,
  u32Of,
} from './trace-edits.ts';

/** A bug that is planted into a real trace, and the rule that must find it. */
export interface Plant {
  readonly name: string;
  /** Folder and name under test/fixtures. */
  readonly capture: string;
  readonly change: Change;
  readonly expects: string;
}

const SELF = 'linux-7.3-selftests';
const MOCK = `${SELF}/iommufd_ioas.mock_domain`;
const NESTED = `${MOCK}.alloc_hwpt_nested`;
const PASID = `${SELF}/iommufd_device_pasid.has_pasid.pasid_attach`;
const VIOMMU = `${SELF}/iommufd_viommu.mock_viommu.viommu_alloc_nested_iopf`;
const DIRTY = `${SELF}/iommufd_dirty_tracking.domain_dirty128k.get_dirty_bitmap`;
const QEMU_A = 'linux-6.12-vmm/a';
const QEMU_B = 'linux-6.12-vmm/b';
const QEMU_D = 'linux-6.12-vmm/d';
const QEMU_BPF = 'linux-6.12-vmm/bpf';
const VTD = 'linux-6.12-vtd/legacy48';
const LIBVFN = 'linux-6.12-clients/compat-libvfn-iommufd';

const isMap = ioctl(CMD.IOMMU_IOAS_MAP);
const isUnmap = ioctl(CMD.IOMMU_IOAS_UNMAP);
const isDestroy = ioctl(CMD.IOMMU_DESTROY);
const isAttach = onDevice(ioctl(CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT));
const isInvalidate = ioctl(CMD.IOMMU_HWPT_INVALIDATE);
const isReplace = testOp(CMD.IOMMU_TEST_CMD, OP.MOCK_DOMAIN_REPLACE);
const isPasidDetach = testOp(CMD.IOMMU_TEST_CMD, OP.PASID_DETACH);
const isPasidReplace = testOp(CMD.IOMMU_TEST_CMD, OP.PASID_REPLACE);
const isPasidAttach = testOp(CMD.IOMMU_TEST_CMD, OP.PASID_ATTACH);
const isAnswer: Finds = ({ op }) => op === 'write';
const isRead: Finds = ({ op }) => op === 'read';
const isDmaMap = ioctl(CMD.VFIO_IOMMU_MAP_DMA);
const isDmaUnmap: Finds = (call) => ioctl(CMD.VFIO_IOMMU_UNMAP_DMA)(call) && unmapped(call) > 0n;

function onDevice(finds: Finds): Finds {
  return (call) => 'kind' in call && call.kind === 'device' && finds(call);
}

/** Bytes that an UNMAP_DMA answers. */
function unmapped(call: Call): bigint {
  if (call.op !== 'ioctl' || call.out === null) return 0n;
  return new DataView(call.out.buffer, call.out.byteOffset).getBigUint64(16, true);
}

function closes(kind: string): Finds {
  return (call) => call.op === 'close' && call.kind === kind;
}

const destroys = (id: number): Finds => ioctl(CMD.IOMMU_DESTROY, { 4: id });

/** A detach of the device before it is moved. */
function detachFirst(call: Call): readonly Call[] {
  const attach = call as IoctlCall;
  const arg = new Uint8Array(8);
  arg[0] = 8;
  return [{ ...attach, cmd: CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT, arg, out: arg }];
}

/** A map of the same length at another IOVA. */
function mapAt(iova: bigint): (call: Call) => readonly Call[] {
  return (call) => {
    const map = call as IoctlCall;
    const arg = Uint8Array.from(map.arg!);
    new DataView(arg.buffer).setBigUint64(32, iova, true);
    return [{ ...map, arg, out: arg }];
  };
}

/** IOMMU_DESTROY of an id on the descriptor of the call. */
function destroyOf(id: (call: IoctlCall) => number): (call: Call) => readonly Call[] {
  return (call) => {
    const like = call as IoctlCall;
    const arg = new Uint8Array(8);
    new DataView(arg.buffer).setUint32(0, 8, true);
    new DataView(arg.buffer).setUint32(4, id(like), true);
    return [{ ...like, cmd: CMD.IOMMU_DESTROY, arg, out: arg, mem: [] }];
  };
}

const ioasOfMap = (call: IoctlCall): number => u32Of(call, 8);
const ioasOfUnmap = (call: IoctlCall): number => u32Of(call, 4);

function plant(name: string, capture: string, change: Change, expects: string): Plant {
  return { name, capture, change, expects };
}

export const PLANTS: readonly Plant[] = [
  plant('QEMU forgets the first unmap of a reset', QEMU_A, drop(isUnmap, 0), 'map-over-mapped'),
  plant('QEMU forgets an unmap in the middle', QEMU_A, drop(isUnmap, 12), 'map-over-mapped'),
  plant('QEMU forgets the last unmap', QEMU_A, drop(isUnmap, -1), 'map-over-mapped'),
  plant('QEMU forgets an unmap of its second device', QEMU_B, drop(isUnmap, 5), 'map-over-mapped'),
  plant('QEMU forgets the last unmap before it ends', QEMU_B, drop(isUnmap, -1), 'map-never-unmapped'),
  plant('QEMU under strace forgets an unmap', QEMU_BPF, drop(isUnmap, -1), 'map-over-mapped'),
  plant('a selftest forgets an unmap', `${MOCK}.area_auto_iova`, drop(isUnmap, 2), 'map-never-unmapped'),
  plant('a VFIO program forgets an unmap', QEMU_D, drop(isDmaUnmap, 2), 'map-over-mapped'),
  plant('a driver in user space forgets an unmap', `${LIBVFN}-perf`, drop(isUnmap, 0), 'map-never-unmapped'),
  plant('QEMU unmaps twice', QEMU_A, twice(isUnmap, 3), 'unmap-nothing'),
  plant('QEMU unmaps the last range twice', QEMU_B, twice(isUnmap, -1), 'unmap-nothing'),
  plant('a driver in user space unmaps twice', `${LIBVFN}-perf`, twice(isUnmap, 0), 'unmap-nothing'),
  plant('a VFIO program unmaps twice', QEMU_D, twice(isDmaUnmap, 1), 'unmap-nothing'),
  plant('QEMU maps twice', QEMU_A, twice(isMap, 2), 'map-over-mapped'),
  plant('a VFIO program maps twice', QEMU_D, twice(isDmaMap, 1), 'map-over-mapped'),
  plant('QEMU unmaps a page of a range', QEMU_A, set(isUnmap, 4, 16, 4096n), 'unmap-splits-area'),
  plant('QEMU unmaps up to a page', QEMU_B, set(isUnmap, 2, 16, 4096n), 'unmap-splits-area'),
  plant(
    'an unmap covers one range and a part of the next',
    QEMU_A,
    set(ioctl(CMD.IOMMU_IOAS_UNMAP, { 8: 0, 16: 0xd8000 }), 0, 16, 0xd9000n),
    'unmap-partial-surprise',
  ),
  plant(
    'QEMU maps over the MSI window',
    QEMU_A,
    insertBefore(isMap, 3, mapAt(0xfee00000n)),
    'reserved-range-hit',
  ),
  plant(
    'QEMU maps over the MSI window later',
    QEMU_B,
    insertBefore(isMap, -1, mapAt(0xfee00000n)),
    'reserved-range-hit',
  ),
  plant(
    'guest memory is a page off its alignment',
    QEMU_A,
    set(ioctl(CMD.IOMMU_IOAS_MAP, { 24: 0x7f00000 }), 0, 16, 0x7faca8eff000n),
    'huge-page-lost',
  ),
  plant(
    'the IOAS is destroyed before its last unmap',
    QEMU_A,
    moveBefore(isDestroy, 0, isUnmap, 3),
    'detach-order',
  ),
  plant(
    'the IOAS is destroyed while mapped',
    QEMU_A,
    insertBefore(isMap, 4, destroyOf(ioasOfMap)),
    'detach-order',
  ),
  plant('the IOAS is destroyed twice', QEMU_A, twice(isDestroy, 0), 'double-destroy'),
  plant(
    'an IOAS is destroyed again and again',
    QEMU_B,
    (calls) => {
      const three = (call: Call): readonly Call[] => [0, 1, 2].flatMap(() => destroyOf(ioasOfUnmap)(call));
      return insertBefore(isUnmap, 0, three)(calls);
    },
    'destroy-busy-loop',
  ),
  plant('QEMU forgets to destroy its IOAS', QEMU_A, drop(isDestroy, 0), 'object-leak-at-close'),
  plant(
    'a page table is used after it was destroyed',
    NESTED,
    moveBefore(destroys(10), -1, isInvalidate, 1),
    'use-after-destroy',
  ),
  plant('a page table is destroyed twice', NESTED, twice(destroys(10), -1), 'double-destroy'),
  plant(
    'a parent is destroyed before its child',
    NESTED,
    moveBefore(destroys(7), -1, destroys(11), 0),
    'detach-order',
  ),
  plant('a page table is never destroyed', NESTED, drop(destroys(11), -1), 'object-leak-at-close'),
  plant(
    'the queue is destroyed before it is closed',
    NESTED,
    moveBefore(destroys(9), -1, closes('fault'), 0),
    'detach-order',
  ),
  plant(
    'a guest\u2019s invalidation is not passed on',
    NESTED,
    drop(isInvalidate, -1),
    'nested-invalidate-missing',
  ),
  plant('a guest\u2019s second invalidation is lost', NESTED, drop(isInvalidate, 2), 'invalidate-too-narrow'),
  plant('an invalidation has one entry of two', NESTED, set(isInvalidate, 2, 24, 1), 'invalidate-too-narrow'),
  plant('an answer to a page request is lost', NESTED, drop(isAnswer, -1), 'fault-unanswered'),
  plant('an answer is given twice', NESTED, twice(isAnswer, 0), 'fault-response-unknown'),
  plant(
    'a page request is never read',
    NESTED,
    (calls) => drop(isAnswer, 0)(drop(isRead, 0)(calls)),
    'fault-unanswered',
  ),
  plant(
    'the device moves before the answer',
    VIOMMU,
    moveBefore(isReplace, -1, isAnswer, 0),
    'fault-response-unknown',
  ),
  plant('an answer under a vIOMMU is lost', VIOMMU, drop(isAnswer, 0), 'fault-unanswered'),
  plant('a queue under a vIOMMU is left', VIOMMU, drop(destroys(8), 0), 'object-leak-at-close'),
  plant(
    'a PASID is detached too early',
    PASID,
    moveBefore(isPasidDetach, 4, isPasidReplace, 1),
    'pasid-use-after-detach',
  ),
  plant(
    'a PASID is detached before it asks for a page',
    PASID,
    insertBefore(testOp(CMD.IOMMU_TEST_CMD, OP.TRIGGER_IOPF), 0, (call) => {
      const like = call as IoctlCall;
      const arg = new Uint8Array(72);
      const view = new DataView(arg.buffer);
      for (const [at, value] of [
        [0, 72],
        [4, OP.PASID_DETACH],
        [8, 2],
        [16, 2048],
      ] as const)
        view.setUint32(at, value, true);
      return [{ ...like, arg, out: arg }];
    }),
    'pasid-use-after-detach',
  ),
  plant('a PASID is never detached', PASID, drop(isPasidDetach, -1), 'pasid-leak'),
  plant(
    'a PASID is attached and forgotten',
    PASID,
    (calls) => {
      const at = calls.findLastIndex(isPasidAttach);
      const again = { ...calls[at]!, seq: calls[at]!.seq + 1 } as IoctlCall;
      const arg = Uint8Array.from(again.arg!);
      new DataView(arg.buffer).setUint32(16, 7, true);
      return [...calls.slice(0, at + 1), { ...again, arg, out: arg }, ...calls.slice(at + 1)];
    },
    'pasid-leak',
  ),
  plant(
    'dirty bits are never read',
    DIRTY,
    (calls) => calls.filter((call) => !ioctl(CMD.IOMMU_HWPT_GET_DIRTY_BITMAP)(call)),
    'dirty-tracking-window',
  ),
  plant(
    'tracking is switched on twice',
    DIRTY,
    twice(ioctl(CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, { 4: 1 }), 0),
    'dirty-tracking-window',
  ),
  plant(
    'tracking is never switched on',
    DIRTY,
    drop(ioctl(CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, { 4: 1 }), 0),
    'dirty-tracking-window',
  ),
  plant(
    'a replace becomes a detach and an attach',
    `${VTD}-replace-dma`,
    insertBefore(isAttach, -1, detachFirst),
    'replace-not-atomic',
  ),
  plant(
    'memory is unmapped while a device works',
    `${VTD}-dma`,
    moveBefore(isUnmap, 0, (call) => call.op === 'note' && call.kind === 'edu_dma', 1),
    'dma-to-unmapped',
  ),
  plant(
    'a device is bound again without a close',
    QEMU_A,
    drop(closes('device'), 0),
    'bind-twice-two-contexts',
  ),
  plant(
    'the second function of a group is bound and not attached',
    QEMU_B,
    drop(isAttach, 2),
    'group-partial-attach',
  ),
];
