import type { Kernel } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { CMD, IOMMU_TEST_CMD, IOMMU_TEST_OP, offsetsOf } from '../../src/uapi/index.ts';

/**
 * How far a call can reach: areas alone; objects, references and entries of the hardware that effects tell
 * of; or anything. What is wrong here shows when a trace is followed both ways, as a test does.
 */
export type Reach = 'areas' | 'objects' | 'anything';

const AREAS: ReadonlySet<number> = new Set([
  CMD.IOMMU_IOAS_MAP,
  CMD.IOMMU_IOAS_MAP_FILE,
  CMD.IOMMU_IOAS_UNMAP,
  CMD.IOMMU_IOAS_COPY,
  CMD.IOMMU_IOAS_ALLOW_IOVAS,
  CMD.IOMMU_IOAS_IOVA_RANGES,
  CMD.IOMMU_GET_HW_INFO,
  CMD.IOMMU_HWPT_GET_DIRTY_BITMAP,
]);
/** VFIO's calls, on a container and on a context that serves as one. */
const AREAS_OF_CONTAINERS: ReadonlySet<number> = new Set([
  CMD.VFIO_IOMMU_MAP_DMA,
  CMD.VFIO_IOMMU_UNMAP_DMA,
  CMD.VFIO_IOMMU_GET_INFO,
  CMD.VFIO_CHECK_EXTENSION,
]);
const NOTHING_OF_DEVICES: ReadonlySet<number> = new Set([
  CMD.VFIO_DEVICE_GET_INFO,
  CMD.VFIO_DEVICE_GET_REGION_INFO,
  CMD.VFIO_DEVICE_GET_IRQ_INFO,
  CMD.VFIO_DEVICE_SET_IRQS,
]);
/** They make or destroy objects, of which no process gets a descriptor. */
const OBJECTS: ReadonlySet<number> = new Set([CMD.IOMMU_IOAS_ALLOC, CMD.IOMMU_DESTROY, CMD.IOMMU_HWPT_ALLOC]);
const OBJECTS_OF_DEVICES: ReadonlySet<number> = new Set([
  CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT,
]);
const OBJECTS_OF_TESTS: ReadonlySet<number> = new Set([
  IOMMU_TEST_OP.MOCK_DOMAIN,
  IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE,
]);
const TEST_OP = offsetsOf(IOMMU_TEST_CMD).op;

export function reachOf(call: Call, { state }: Kernel): Reach {
  switch (call.op) {
    case 'ioctl':
      if (call.kind === 'iommufd' || call.kind === 'container') {
        if (AREAS.has(call.cmd) || AREAS_OF_CONTAINERS.has(call.cmd)) return 'areas';
        return OBJECTS.has(call.cmd) || isLocalTest(call) ? 'objects' : 'anything';
      }
      if (call.kind !== 'device') return 'anything';
      if (NOTHING_OF_DEVICES.has(call.cmd)) return 'areas';
      return OBJECTS_OF_DEVICES.has(call.cmd) ? 'objects' : 'anything';
    case 'pread':
    case 'pwrite':
    case 'note':
    case 'procstatus':
    case 'poll':
      return 'areas';
    case 'mmap':
      // One of a descriptor may hold what the descriptor stands for.
      return state.windows.length === 0 && call.fd < 0 ? 'areas' : 'anything';
    case 'munmap':
      return state.windows.length === 0 ? 'areas' : 'anything';
    default:
      return 'anything';
  }
}

function isLocalTest({ cmd, arg }: { readonly cmd: number; readonly arg: Uint8Array | null }): boolean {
  return cmd === CMD.IOMMU_TEST_CMD && arg !== null && OBJECTS_OF_TESTS.has(arg[TEST_OP] ?? 0);
}

/** Whether the answer to a call tells where an area lies. */
export function movesAreas(call: Call): boolean {
  if (call.op !== 'ioctl' || call.kind !== 'iommufd') return false;
  const { cmd } = call;
  return cmd === CMD.IOMMU_IOAS_MAP || cmd === CMD.IOMMU_IOAS_MAP_FILE || cmd === CMD.IOMMU_IOAS_COPY;
}

const FIXED_IOVA = 1;
const FLAGS_AT = 4;

/**
 * Whether a call leaves the choice of an IOVA to the kernel: its flags are without
 * IOMMU_IOAS_MAP_FIXED_IOVA.
 */
export function choosesIova(call: Call): boolean {
  if (!movesAreas(call) || call.op !== 'ioctl') return false;
  return call.arg !== null && call.arg.length > FLAGS_AT && (call.arg[FLAGS_AT]! & FIXED_IOVA) === 0;
}
