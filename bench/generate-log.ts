import { closeSync, openSync, writeSync } from 'node:fs';

/** Lines written at once. */
const BLOCK_LINES = 10_000;

/**
 * Writes a log as QEMU 10.0 does for a guest with a virtual IOMMU: of ten lines three are maps and unmaps, as
 * in the longest recorded log, and the others tell of the same things or of registers.
 */
export function writeQemuLog(path: string, lines: number): void {
  const file = openSync(path, 'w');
  try {
    writeSync(
      file,
      [
        '267@1795170117.203499:vfio_mdev  (0000:02:00.0) is_mdev 0',
        '267@1795170117.203600:iommufd_cdev_getfd  /dev/vfio/devices/vfio2 (fd=15)',
        '267@1795170117.203700:iommufd_backend_connect fd=14 owned=1 users=1',
        '267@1795170117.203800:iommufd_backend_alloc_ioas  iommufd=14 ioas=2\n',
      ].join('\n'),
    );
    for (let first = 0; first < lines; first += BLOCK_LINES) {
      const block: string[] = [];
      for (let index = first; index < Math.min(lines, first + BLOCK_LINES); index += 1)
        block.push(lineOf(index));
      writeSync(file, `${block.join('\n')}\n`);
    }
  } finally {
    closeSync(file);
  }
}

function lineOf(index: number): string {
  const at = `274@${1_795_170_118 + Math.floor(index / 10_000)}.${String((index * 97) % 1_000_000).padStart(6, '0')}:`;
  const page = Math.floor(index / 10) % 100_000;
  const iova = (0xf000_0000 - page * 0x1000).toString(16);
  const last = (0xf000_0000 - page * 0x1000 + 0xfff).toString(16);
  switch (index % 10) {
    case 0:
      return `${at}vfio_iommu_map_notify iommu MAP @ 0x${iova} - 0x${last}`;
    case 1:
      return (
        `${at}iommufd_backend_map_dma  iommufd=14 ioas=2 iova=0x${iova} size=0x1000 ` +
        `addr=0x7f5d8${(page * 0x1000).toString(16).padStart(8, '0')} readonly=0 (0)`
      );
    case 4:
      return `${at}vfio_iommu_map_notify iommu UNMAP @ 0x${iova} - 0x${last}`;
    case 5:
      return `${at}iommufd_backend_unmap_dma  iommufd=14 ioas=2 iova=0x${iova} size=0x1000 (0)`;
    case 6:
      return (
        `${at}iommufd_backend_unmap_dma_non_exist  Unmap nonexistent mapping: ` +
        `iommufd=14 ioas=2 iova=0x${iova} size=0x1000 (-1)`
      );
    default: {
      const register = (index % 4096).toString(16);
      return `${at}vfio_region_write  (0000:02:00.0:region0+0x${register}, 0x${page.toString(16)}, 4)`;
    }
  }
}
