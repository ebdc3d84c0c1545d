import { chooseProfile, createKernel, execute, type Kernel } from '../../src/model/index.ts';
import { predictedStruct } from '../../src/model/outcome.ts';
import {
  attachGroup,
  createType1Container,
  detachGroup,
  type Type1Container,
  type Type1Group,
  type1Ioctl,
} from '../../src/model/type1/container.ts';
import type { IoctlCall, MemoryBuffer } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  VFIO_DMA_UNMAP_FLAGS,
  VFIO_EXTENSION,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../src/uapi/index.ts';
import { rangeOf } from './iova-range.ts';
import { PID, u32At, u64At } from './session.ts';

/** One container of the model, asked directly. */

const ARGP = 0x7ffc00001000n;
const NO_STRUCT = new Uint8Array(0);

export interface Type1Answered {
  readonly ret: number;
  /** Id of the reason when refused; null on success, `not-modelled` when the model does not know. */
  readonly reason: string | null;
  readonly out: Uint8Array;
}

export interface Type1Info {
  readonly pageSizes: bigint;
  readonly available: number;
  /** Usable IOVAs, first and last. */
  readonly iovas: readonly (readonly [bigint, bigint])[];
}

export interface Type1Session {
  readonly kernel: Kernel;
  readonly container: Type1Container;
  /** Sets a group; the id of the reason when it is refused. */
  attach(group: Type1Group): string | null;
  detach(groupId: number): void;
  ioctl(cmd: number, arg: Uint8Array, argument?: bigint, mem?: readonly MemoryBuffer[]): Type1Answered;
  setIommu(type: number): string | null;
  has(extension: number): boolean;
  /** READ and WRITE unless flags say otherwise; the id of the reason when it is refused. */
  map(iova: bigint, size: bigint, flags?: number, vaddr?: bigint): string | null;
  /** Bytes unmapped, or the id of the reason. */
  unmap(iova: bigint, size: bigint, flags?: number): bigint | string;
  dirty(flags: number): string | null;
  info(): Type1Info;
}

/** A group behind an IOMMU like VT-d's, unless the facts say otherwise. */
export function groupOf(id: number, facts: Partial<Type1Group> = {}): Type1Group {
  return {
    id,
    aperture: rangeOf(0n, 2n ** 48n - 1n),
    pageSizes: 0x40201000,
    enforceCacheCoherency: true,
    reserved: [{ ...rangeOf(0xfee00000n, 0xfeefffffn), kind: 'msi' }],
    domainKind: 'vtd',
    isolatedMsi: true,
    canNest: false,
    ...facts,
  };
}

export function startType1(release = '6.12'): Type1Session {
  const kernel = createKernel(chooseProfile(release, 4096).profile, false);
  const container = createType1Container(1);
  const ioctl: Type1Session['ioctl'] = (cmd, arg, argument = ARGP, mem = []) => {
    const call: IoctlCall = {
      op: 'ioctl',
      ...{ seq: 0, pid: PID, tid: null, tNs: null, extra: null, replied: true, ret: 0, errno: 0 },
      ...{ fd: 3, kind: 'container', cmd, argp: argument, argFault: false, arg, out: null, mem, newFd: null },
    };
    execute(kernel, call);
    const answer = type1Ioctl(kernel, container, cmd);
    const out = predictedStruct(kernel, call) ?? arg;
    if (answer === null) return { ret: kernel.call.ret, reason: null, out };
    return { ret: -1, reason: answer === 'not-modelled' ? answer : answer.id, out };
  };
  const unmapFields = (iova: bigint, size: bigint, flags: number) =>
    ioctl(CMD.VFIO_IOMMU_UNMAP_DMA, buildStruct(VFIO_IOMMU_UNMAP_DMA, { flags, iova, size }));
  return {
    kernel,
    container,
    ioctl,
    attach: (group) => attachGroup(kernel, container, group)?.id ?? null,
    detach: (groupId) => detachGroup(kernel, container, groupId),
    setIommu: (type) => ioctl(CMD.VFIO_SET_IOMMU, NO_STRUCT, BigInt(type)).reason,
    has: (extension) => ioctl(CMD.VFIO_CHECK_EXTENSION, NO_STRUCT, BigInt(extension)).ret === 1,
    map(iova, size, flags = 3, vaddr = 0x7f0000000000n) {
      const arg = buildStruct(VFIO_IOMMU_MAP_DMA, { flags, vaddr, iova, size });
      return ioctl(CMD.VFIO_IOMMU_MAP_DMA, arg).reason;
    },
    unmap(iova, size, flags = 0) {
      const { reason, out } = unmapFields(iova, size, flags);
      return reason ?? u64At(out, 16);
    },
    dirty: (flags) =>
      ioctl(CMD.VFIO_IOMMU_DIRTY_PAGES, buildStruct(VFIO_IOMMU_DIRTY_PAGES, { flags })).reason,
    info: () =>
      readInfo(
        ioctl(CMD.VFIO_IOMMU_GET_INFO, buildStruct(VFIO_IOMMU_GET_INFO, {}, { lengthBytes: 1024 })).out,
      ),
  };
}

/** A container with these groups, as version 2. */
export function startVersion2(groups: readonly Type1Group[], release?: string): Type1Session {
  const session = startType1(release);
  for (const group of groups) session.attach(group);
  const refused = session.setIommu(VFIO_EXTENSION.TYPE1v2);
  if (refused !== null) throw new Error(`SET_IOMMU: ${refused}`);
  return session;
}

export const UNMAP_ALL = VFIO_DMA_UNMAP_FLAGS.ALL;

/** Capabilities in the kernel's order: MIGRATION, DMA_AVAIL, IOVA_RANGE. */
function readInfo(out: Uint8Array): Type1Info {
  const dmaAvail = u32At(out, u32At(out, 16) + 4);
  const ranges = u32At(out, dmaAvail + 4);
  const iovas = Array.from({ length: u32At(out, ranges + 8) }, (_, index): [bigint, bigint] => {
    const at = ranges + 16 + index * 16;
    return [u64At(out, at), u64At(out, at + 8)];
  });
  return { pageSizes: u64At(out, 8), available: u32At(out, dmaAvail + 8), iovas };
}
