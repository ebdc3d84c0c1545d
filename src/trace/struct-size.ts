import type { IoctlCall } from './call.ts';
import { RecordError } from './errors.ts';

/** Recorders keep at most this many bytes of a struct, whatever its size field says. */
const RECORDED_BYTES_MAX = 4096;

/** `_IOC_NR` of the first and last iommufd command: each struct starts with its own u32 size. */
const IOMMUFD_NR_FIRST = 0x80;
const IOMMUFD_NR_LAST = 0xa0;

/**
 * VFIO commands of a container whose struct starts with `argsz`: GET_INFO, MAP_DMA, UNMAP_DMA, DIRTY_PAGES.
 */
const CONTAINER_ARGSZ_NRS: ReadonlySet<number> = new Set([0x70, 0x71, 0x72, 0x75]);

/** VFIO commands of a device whose struct starts with `argsz`: GET_INFO … SET_IRQS, and those after RESET. */
const isDeviceArgszNr = (nr: number): boolean => (nr >= 0x6b && nr <= 0x6e) || (nr >= 0x70 && nr <= 0x7f);

/**
 * Refuses a struct that was cut: fewer bytes than its size field says, although the pointer was good. The
 * model would otherwise read fields that nobody recorded.
 * @throws RecordError
 */
export function requireWholeStruct(call: IoctlCall): void {
  const problem = cutOf(call);
  if (problem !== null) throw new RecordError(problem);
}

/** How a struct was cut; null for one that is whole. */
export function cutOf(call: IoctlCall): string | null {
  const { arg, out } = call;
  if (arg === null || call.argFault || !hasSizeField(call)) return null;
  if (arg.length < 4) return `"arg" holds ${arg.length} bytes, too few for its size field`;
  const sizeBytes = (arg[0]! | (arg[1]! << 8) | (arg[2]! << 16) | (arg[3]! << 24)) >>> 0;
  if (arg.length < Math.min(sizeBytes, RECORDED_BYTES_MAX))
    return `"arg" holds ${arg.length} bytes but its size field says ${sizeBytes}`;
  return out === null || out.length === arg.length
    ? null
    : `"out" holds ${out.length} bytes but "arg" holds ${arg.length}`;
}

function hasSizeField(call: IoctlCall): boolean {
  const nr = call.cmd & 0xff;
  switch (call.kind) {
    case 'iommufd':
    case 'container':
      return (nr >= IOMMUFD_NR_FIRST && nr <= IOMMUFD_NR_LAST) || CONTAINER_ARGSZ_NRS.has(nr);
    case 'device':
      return isDeviceArgszNr(nr);
    default:
      return false;
  }
}
