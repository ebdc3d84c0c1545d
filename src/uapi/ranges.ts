import { CMD } from './dispatch.ts';
import { IOMMU_IOAS_COPY, IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FILE, IOMMU_IOAS_UNMAP } from './iommufd.ts';
import { offsetsOf } from './layout.ts';
import { VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from './vfio.ts';

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const MAP_FILE = offsetsOf(IOMMU_IOAS_MAP_FILE);
const UNMAP = offsetsOf(IOMMU_IOAS_UNMAP);
const COPY = offsetsOf(IOMMU_IOAS_COPY);
const MAP_DMA = offsetsOf(VFIO_IOMMU_MAP_DMA);
const UNMAP_DMA = offsetsOf(VFIO_IOMMU_UNMAP_DMA);

/**
 * Commands of iommufds and containers that map, copy to or unmap a range of IOVAs: offsets of the IOAS id
 * (null: the one of the container), of the IOVA and of the length in bytes.
 */
export const RANGE_FIELDS: Readonly<Record<number, readonly [number | null, number, number]>> = {
  [CMD.IOMMU_IOAS_MAP]: [MAP.ioas_id, MAP.iova, MAP.length],
  [CMD.IOMMU_IOAS_MAP_FILE]: [MAP_FILE.ioas_id, MAP_FILE.iova, MAP_FILE.length],
  [CMD.IOMMU_IOAS_COPY]: [COPY.dst_ioas_id, COPY.dst_iova, COPY.length],
  [CMD.IOMMU_IOAS_UNMAP]: [UNMAP.ioas_id, UNMAP.iova, UNMAP.length],
  [CMD.VFIO_IOMMU_MAP_DMA]: [null, MAP_DMA.iova, MAP_DMA.size],
  [CMD.VFIO_IOMMU_UNMAP_DMA]: [null, UNMAP_DMA.iova, UNMAP_DMA.size],
};
