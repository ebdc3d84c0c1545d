import type { AdviceTable } from './advice.ts';

/** Refusals of mapping, copying, unmapping and cutting areas, and of VFIO type1. */
export const MAPPING_ADVICE: AdviceTable = {
  'address-or-length-too-high': [
    'the end of the address space is written as an address or length of 2^64-1, or a failed computation as -1',
    'keep IOVA and length below 2^64-1; only UNMAP of everything takes IOVA 0 with that length',
  ],
  'no-permission-asked': [
    'the flags hold FIXED_IOVA only, or the protection was translated wrongly',
    'set READABLE, WRITEABLE or both',
  ],
  'length-zero': ['an empty memory region is passed on', 'skip empty regions'],
  'length-too-long': [
    'the length is a negative number, or stands for "everything"',
    'pass the real length in bytes',
  ],
  'user-address-wraps': [
    'the address is a sentinel such as -1, or the length belongs to another region',
    'pass an address and a length whose sum stays below 2^64',
  ],
  'iova-range-wraps': [
    'the length is computed to the end of the address space and is one too long',
    'let the range end at 2^64-1 at most',
  ],
  'iova-wraps': [
    'the length is computed to the end of the address space and is one too long',
    'let the range end at 2^64-1 at most',
  ],
  'file-range-wraps': [
    'the offset in the file is negative, or a sentinel',
    'pass an offset and a length whose sum stays below 2^64',
  ],
  'length-misaligned': [
    'the length is that of a buffer, not of whole pages of the IOMMU',
    'round the length up to the alignment that IOVA_RANGES returns in out_iova_alignment',
  ],
  'length-half-of-space': [
    'the length is a negative number, or stands for "everything"',
    'pass the real length, or choose the place by FIXED_IOVA',
  ],
  'user-va-misaligned': [
    'the buffer comes from malloc or lies inside a page, and a device with larger pages is attached',
    'allocate the buffer in whole pages, aligned to out_iova_alignment of IOVA_RANGES',
  ],
  'user-offset-misaligned': [
    'the buffer comes from malloc or lies inside a page, and a device with larger pages is attached',
    'allocate the buffer in whole pages, aligned to out_iova_alignment of IOVA_RANGES',
  ],
  'no-iova-space': [
    'the allowed ranges or the aperture are too small for the length, or split up by earlier areas',
    'unmap what is not needed, widen the ranges of ALLOW_IOVAS, or map in smaller pieces',
  ],
  'iova-misaligned': [
    'the guest or the driver uses pages smaller than those of the IOMMU',
    'choose an IOVA that is a multiple of out_iova_alignment of IOVA_RANGES',
  ],
  'iova-in-reserved-range': [
    'guest memory is laid over the MSI window, or above the width of the addresses of the IOMMU',
    'stay inside the ranges that IOVA_RANGES returns after all devices are attached',
  ],
  'iova-already-mapped': [
    'the range was mapped before and not unmapped, or two regions overlap',
    'unmap the old area first; mapping never replaces',
  ],
  'pages-mapped-read-only': [
    'COPY asks for WRITEABLE, but the source was mapped for reading only',
    'copy with READABLE alone, or map the source with WRITEABLE',
  ],
  'page-range-wraps': [
    'the address is a sentinel at the very top of the address space',
    'pass an address of memory that is mapped',
  ],
  'user-memory-not-pinnable': [
    'the memory was unmapped or is write-protected, is a BAR of a device, or its process is gone; without a page table MAP does not look, so that an attach may find it much later',
    'map memory that the process has mapped with the access asked for, and unmap the IOVA before the memory goes',
  ],
  'locked-memory-of-user': [
    'RLIMIT_MEMLOCK is smaller than all that processes of this user pin, also in other contexts; the same memory mapped twice counts twice',
    'raise RLIMIT_MEMLOCK of the process that maps, give it CAP_IPC_LOCK before it maps, or use COPY for further IOASes, which costs nothing',
  ],
  'locked-memory-of-process': [
    'RLIMIT_MEMLOCK is smaller than all memory that the process has pinned, or locked by mlock; the same memory mapped twice counts twice',
    'raise RLIMIT_MEMLOCK of the process that maps, give it CAP_IPC_LOCK before it maps, or use COPY for further IOASes, which costs nothing',
  ],
  'type1-locked-memory': [
    'RLIMIT_MEMLOCK is smaller than all memory that the process has mapped in containers, each mapping counted anew',
    'raise RLIMIT_MEMLOCK to the size of the guest and some more, for each container, or give the process CAP_IPC_LOCK',
  ],
  'file-not-pinnable': [
    'the descriptor is no memfd or hugetlbfs file, or the file is shorter than the range',
    'pass a memfd that was sized by ftruncate to reach the end of the range',
  ],
  'map-without-permission': [
    'VFIO_IOMMU_MAP_DMA is called with flags 0, which only a page table finds wrong',
    'set READ, WRITE or both',
  ],
  'map-file-bad-descriptor': [
    'the file was closed before it was mapped',
    'keep the descriptor open until MAP_FILE has returned',
  ],
  'dmabuf-range-outside': [
    'the offset or the length is that of a larger BAR, or counts from another start',
    'keep start + length within the size of the dma-buf',
  ],
  'dmabuf-revoked': [
    'the device behind the dma-buf is being reset or has its memory switched off',
    'map again once the device is back',
  ],
  'dmabuf-length': ['the test asks for an empty dma-buf or one above 2 MiB', 'ask for 1 to 512 pages'],
  'dmabuf-not-open': [
    'the dma-buf was closed, or its number was never given to the test',
    'pass the descriptor of an open dma-buf',
  ],
  'not-a-dmabuf': [
    'the number of another file is passed; DMABUF_GET of 7.3-rc7 answers 0 and not the number of its descriptor',
    'pass the descriptor of a dma-buf',
  ],
  'copy-source-not-mapped': [
    'part of the source was never mapped or is unmapped already, or the IOASes are swapped',
    'copy only ranges that areas of the source cover without a gap',
  ],
  'area-not-contained': [
    'a part of an area is to be unmapped, or the range is shifted against what was mapped',
    'unmap whole areas, with the IOVA and length of the map',
  ],
  'area-locked': ['guest memory goes while a HW queue lies in it', 'destroy the HW queue first'],
  'nothing-mapped': [
    'the range was unmapped before, belongs to another IOAS, or its map was refused',
    'unmap only what a successful map made; ENOENT can be taken as done',
  ],
  'split-area-busy': ['another thread unmaps the area at the same time', 'try again'],
  'split-dmabuf': [
    'a part of a mapped dma-buf is to be unmapped by type1 version 1',
    'unmap the whole dma-buf',
  ],
  'split-misaligned': [
    'the range to be unmapped begins or ends inside a page of the IOMMU',
    'unmap whole pages',
  ],
  'split-area-pinned': [
    'an emulated device has pinned pages of the area that the range cuts',
    'unmap the whole area, or let the device unpin first',
  ],
  'split-large-pages': [
    'another thread switches large pages on again while the area is cut',
    'leave HUGE_PAGES alone once type1 version 1 is chosen',
  ],
  'vfio-struct-unreadable': [
    'the argument is NULL or points to freed memory',
    'pass a pointer to a mapped struct',
  ],
  'vfio-argsz-or-flags': [
    'argsz was left at zero, or a flag is used that iommufd does not take over from type1: VADDR, GET_DIRTY_BITMAP',
    'set argsz to sizeof the struct, and do without these flags',
  ],
  'vfio-iommu-type-unsupported': [
    'SPAPR, NOIOMMU or a type taken from CHECK_EXTENSION of another container is asked for',
    'set VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU',
  ],
  'vfio-unmap-all-with-range': [
    'the range of the last unmap is left in the struct',
    'set iova and size to 0 together with UNMAP_ALL',
  ],
};
