import type { AdviceTable } from './advice.ts';

/** Refusals of the classic container: vfio.ko with vfio_iommu_type1. */
export const TYPE1_ADVICE: AdviceTable = {
  'type1-set-iommu-no-group': [
    'VFIO_SET_IOMMU comes before VFIO_GROUP_SET_CONTAINER',
    'set a group to the container first',
  ],
  'type1-set-iommu-again': [
    'a program sets the type with every group that it adds',
    'set the type once: further groups are attached as they are set to the container',
  ],
  'type1-set-iommu-no-driver': [
    'a type for another platform (sPAPR, no-IOMMU), or nesting on a kernel of 6.13 or later',
    'ask CHECK_EXTENSION first, and set TYPE1v2',
  ],
  'type1-set-iommu-not-a-type': [
    'the number of an extension that is no IOMMU type, such as UNMAP_ALL, is given',
    'set TYPE1v2',
  ],
  'type1-no-iommu-yet': [
    'a mapping or GET_INFO comes before VFIO_SET_IOMMU, or after the last group has left, which resets the type',
    'set a group and then the IOMMU type first',
  ],
  'type1-command-unknown': [
    'the command is one of a group, a device or iommufd, or of another platform',
    'use GET_INFO, MAP_DMA, UNMAP_DMA and DIRTY_PAGES only',
  ],
  'type1-struct-fault': [
    'the pointer is wrong, or argsz is larger than the memory behind it',
    'give a struct that is mapped and writable for all of argsz',
  ],
  'type1-argsz-or-flags': [
    'argsz was not set or does not include the bitmap that the flags ask for, or a flag is of a newer kernel',
    'set argsz to the struct with all that follows, and clear other flags',
  ],
  'type1-size-zero': ['an empty memory region is passed on', 'skip empty regions'],
  'type1-misaligned': [
    'a region of less than a page, such as a small BAR, is mapped as it is, or pages of the host are larger than those of the guest',
    'align IOVA, user address and size to the lowest bit of iova_pgsizes of GET_INFO',
  ],
  'type1-range-wraps': [
    'the size was taken from a last address, or is negative as a signed number',
    'let IOVA and user address plus size end at 2^64 at most; GET_BITMAP must end below',
  ],
  'type1-range-overflow': [
    'the size was taken from a last address, or is negative as a signed number',
    'let IOVA and user address plus size end at 2^64 at most',
  ],
  'type1-permission-or-vaddr': [
    'a mapping is asked for with flags of 0, or VADDR is given together with READ or WRITE',
    'set READ, WRITE or both for a mapping, and VADDR alone for a new user address',
  ],
  'type1-already-mapped': [
    'the same region is mapped twice, or a neighbour was mapped longer than thought',
    'unmap first what is there',
  ],
  'type1-no-mapping-available': [
    'memory is mapped page by page, until 65535 mappings are there',
    'map longer ranges, or load vfio_iommu_type1 with a larger dma_entry_limit; GET_INFO tells how many are left',
  ],
  'type1-iova-not-usable': [
    'guest memory lies over the MSI window at 0xfee00000 or over a reserved region of a device, or beyond what the IOMMU can address',
    'keep to the IOVA ranges that GET_INFO lists in its capability',
  ],
  'type1-memory-not-pinnable': [
    'a page behind vaddr is not mapped, or is read-only and WRITE is asked for',
    'map the memory writable before MAP_DMA, or ask for READ only',
  ],
  'type1-too-long-to-track': [
    'a mapping of more than 8 TiB is made while dirty pages are tracked',
    'split it in mappings of fewer than 2^31 pages each',
  ],
  'type1-vaddr-no-mapping': [
    'the mapping was unmapped for good, or is at another IOVA',
    'map the range with READ or WRITE instead, or renew the address at the IOVA where it was mapped',
  ],
  'type1-vaddr-other-mapping': [
    'UNMAP_DMA with VADDR was not called before, or for another range',
    'invalidate by UNMAP_DMA with VADDR, and renew with exactly IOVA and size of the mapping',
  ],
  'type1-vaddr-already-invalid': [
    'UNMAP_DMA with VADDR is called twice, without new addresses in between',
    'invalidate every mapping once',
  ],
  'type1-unmap-all-with-range': ['ALL is added to an unmap of a range', 'leave IOVA and size at 0 with ALL'],
  'type1-unmap-bitmap-with-other': [
    'a migration flag is combined with an unmap of everything or of user addresses',
    'ask for the bitmap by DIRTY_PAGES first, then unmap',
  ],
  'type1-bisects-mapping': [
    'part of a mapping is to be unmapped or asked for: TYPE1v2 has whole mappings only',
    'give ranges that begin and end where mappings do, or map in pieces from the start',
  ],
  'type1-bitmap-size': [
    'the bitmap is sized in bytes where bits are meant, or not rounded up to 64 bits',
    'give a bit for each page, rounded up to whole words of 64 bits',
  ],
  'type1-bitmap-address': [
    'a guest address or a pointer that was not set up is given as the bitmap',
    'give an address of user space',
  ],
  'type1-bitmap-page-size': [
    'pgsize of the bitmap is that of the guest or of huge pages',
    'set pgsize to the lowest bit of iova_pgsizes of GET_INFO',
  ],
  'type1-not-tracking': [
    'the bitmap is asked for before START, or after STOP',
    'start the tracking by DIRTY_PAGES with START',
  ],
  'type1-dirty-not-version-2': ['the container was set as TYPE1', 'set TYPE1v2 when the container is made'],
  'type1-dirty-not-one-flag': [
    'flags are 0, or two of START, STOP and GET_BITMAP are set',
    'do one operation per call',
  ],
  'type1-dirty-mapping-too-long': [
    'a mapping of more than 8 TiB was made before the tracking began',
    'split it in mappings of fewer than 2^31 pages each',
  ],
  'type1-attach-vaddr-invalid': [
    'a device is added between UNMAP_DMA with VADDR and the new user addresses',
    'renew all user addresses by MAP_DMA with VADDR first',
  ],
  'type1-attach-no-nesting': [
    'TYPE1_NESTING is set on an IOMMU without it, such as VT-d',
    'set TYPE1v2; for nesting use iommufd',
  ],
  'type1-attach-aperture-conflict': [
    'memory was mapped beyond what the IOMMU of the new group can address',
    'attach all groups before mapping, and keep to the IOVA ranges of GET_INFO, or use a container of its own',
  ],
  'type1-attach-reserved-conflict': [
    'memory was mapped where the new device has a reserved region, such as the MSI window or a firmware region',
    'attach all groups before mapping, or unmap that range first',
  ],
  'type1-attach-no-iova-left': [
    'groups of very different IOMMUs share a container',
    'use a container for each of them',
  ],
  'type1-attach-msi-not-isolated': [
    'interrupt remapping is switched off in the firmware or on the kernel command line, or the machine has none',
    'switch it on, or load vfio_iommu_type1 with allow_unsafe_interrupts=1 when the guest is trusted',
  ],
  'vfio-unmap-empty-range': [
    'iommufd before 6.18 refuses what the classic driver answers with a size of 0',
    'unmap only what is mapped, or take ENOENT as nothing unmapped',
  ],
};
