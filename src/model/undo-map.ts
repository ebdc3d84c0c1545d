import type { IoctlCall } from '../trace/index.ts';
import { CMD, IOMMU_IOAS_MAP, offsetsOf, VFIO_DMA_MAP_FLAGS, VFIO_IOMMU_MAP_DMA } from '../uapi/index.ts';
import { readOffset, readPage } from './address.ts';
import { firstAreaIn, NONE } from './area-table.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { dropArea } from './mapping.ts';
import { getObject } from './objects.ts';
import type { Context, Ioas, OpenFile } from './state.ts';
import { findMapping, removeMapping } from './type1/mappings.ts';
import { containerOf } from './vfio/container.ts';
import { compatIoas } from './vfio-ioas.ts';

/** Takes out again what a map has put in that the kernel refused and the model let pass. */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const MAP_DMA = offsetsOf(VFIO_IOMMU_MAP_DMA);

/** `record` is the call executed last, a map or not. Answers whether there was anything to take out. */
export function undoMap(kernel: Kernel, file: OpenFile, record: IoctlCall): boolean {
  if (file.kind === 'container' && record.cmd === CMD.VFIO_IOMMU_MAP_DMA) return undoType1(kernel, file);
  const context = kernel.state.contexts[file.context];
  const ioas = context === undefined ? undefined : mappedInto(kernel, context, record);
  if (context === undefined || ioas === undefined) return false;
  const { view } = kernel.call;
  const at = record.cmd === CMD.IOMMU_IOAS_MAP ? MAP.iova : MAP_DMA.iova;
  const space = spaceOf(kernel, ioas);
  const page = readPage(view, at);
  const offset = readOffset(view, at);
  const slot = firstAreaIn(space.areas, page, offset, page, offset);
  if (slot === NONE) return false;
  dropArea(kernel, context, ioas, space, slot);
  return true;
}

/** The IOAS that a map of user memory goes to; undefined for any other call. */
export function mappedInto(kernel: Kernel, context: Context, { cmd }: IoctlCall): Ioas | undefined {
  if (cmd === CMD.IOMMU_IOAS_MAP)
    return getObject(context, kernel.call.view.getUint32(MAP.ioas_id, true), 'ioas');
  return cmd === CMD.VFIO_IOMMU_MAP_DMA ? compatIoas(context) : undefined;
}

function undoType1(kernel: Kernel, { object }: OpenFile): boolean {
  const container = containerOf(kernel, object);
  if (container.iommu === null) return false;
  const { view } = kernel.call;
  // A new address for a mapping that was there before, and stays.
  if ((view.getUint32(MAP_DMA.flags, true) & VFIO_DMA_MAP_FLAGS.VADDR) !== 0) return false;
  const page = readPage(view, MAP_DMA.iova);
  const offset = readOffset(view, MAP_DMA.iova);
  const slot = findMapping(kernel, container.iommu, page, offset, page, offset);
  if (slot === NONE) return false;
  removeMapping(kernel, container, container.iommu, slot);
  return true;
}
