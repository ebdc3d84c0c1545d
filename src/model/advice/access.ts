import type { AdviceTable } from './advice.ts';

/** Refusals of access objects, and of the questions that the selftest asks. */
export const ACCESS_ADVICE: AdviceTable = {
  'not-an-access-descriptor': [
    'the id of the access object or a closed descriptor is given',
    'give out_access_fd of CREATE_ACCESS',
  ],
  'access-does-not-pin': [
    'pages are to be pinned by an access object that was made to copy only',
    'make it with NEEDS_PIN_PAGES',
  ],
  'access-not-attached': [
    'the access object was never attached to an IOAS, or is detached already',
    'attach it to an IOAS first',
  ],
  'access-length-zero': ['an empty request of a driver is passed on', 'skip empty requests'],
  'access-range-wraps': [
    'the driver was given a wild address',
    'check the address that the driver was given against its IOAS',
  ],
  'access-too-long': [
    'the test asks for more than 16 MiB, which it refuses so as not to use up memory',
    'ask in pieces of 16 MiB',
  ],
  'access-pages-not-found': [
    'the pin went when its area was unmapped, which makes the selftest unpin',
    'take ENOENT as done after an unmap',
  ],
  'access-pages-differ': [
    'the process has put other memory at the address since it was mapped, or the test compares with the wrong buffer',
    'compare with the memory that was mapped, and unmap the IOVA before the memory is replaced',
  ],
  'access-pins-dmabuf': [
    'an emulated device is to touch memory of another device',
    'keep peer memory out of the IOAS of emulated devices',
  ],
  'access-copies-dmabuf': [
    'an emulated device is to touch memory of another device',
    'keep peer memory out of the IOAS of emulated devices',
  ],
  'access-copy-fault': [
    'the memory was unmapped or protected after it was mapped, or its process is gone',
    'unmap the IOVA before the memory goes',
  ],
  'area-permission-missing': [
    'the device writes to an area that is mapped for reading only, or reads one mapped for writing only',
    'map the area with the permission that the device needs',
  ],
  'hole-in-range': [
    'the driver of the guest gives an address that it has not mapped, or that ends behind the last area',
    'map the whole range before the device uses it',
  ],
  'pin-not-page-aligned': [
    'the IOVA is not at the same place in its page as the user memory behind it',
    'map whole pages, with IOVA and user address at the same offset in the page',
  ],
  'reserved-range-empty': ['the test passes length 0', 'reserve at least one byte'],
  'reserved-range-wraps': [
    'the test passes a range behind the end of the address space',
    'let the range end at 2^64-1 at most',
  ],
  'selftest-operation-unknown': [
    'the test program is newer than the kernel',
    'run the selftests that belong to the kernel',
  ],
  'selftest-object-not-found': [
    'the id of the device or page table is given for that of the selftest object, or it was destroyed',
    'give out_stdev_id of MOCK_DOMAIN',
  ],
  'memory-limit-too-small': ['the test passes 0 or a number of pages', 'pass 12 bytes at least'],
  'check-misaligned': [
    'the test passes a range that does not consist of whole pages of the mock IOMMU, or of the CPU for MD_CHECK_REFS',
    'align IOVA, length and address',
  ],
  'check-user-page-fault': [
    'the test compares with memory that it has unmapped',
    'compare with memory that is mapped',
  ],
  'check-map-differs': [
    'the area is unmapped, maps other memory, or the dma-buf behind it is revoked',
    'look at what the IOAS maps at this IOVA',
  ],
  'check-refs-differ': [
    'more or fewer page tables, access objects and contexts hold the page than the test counts with',
    'count every iopt_pages that pins the page once, however many page tables use it',
  ],
  'check-iotlb-differs': [
    'an invalidation did or did not reach the entry',
    'look at the invalidations since the page table was made',
  ],
  'check-device-cache-differs': [
    'an invalidation through the vIOMMU did or did not reach the device',
    'look at the invalidations since the device was made',
  ],
  'check-pasid-target-not-found': [
    'the page table was destroyed',
    'pass 0 to ask whether the PASID is detached',
  ],
  'check-pasid-target-of-wrong-type': [
    'the id of an IOAS or device is given',
    'give the id of a page table, or 0',
  ],
  'check-pasid-differs': [
    'an attach, replace or detach before did not do what the test counts with',
    'look at the answer of the last change of this PASID',
  ],
  'dirty-test-range-malformed': [
    'the test passes a page size, length or bitmap of 0, or a range that does not consist of whole pages of that size',
    'align IOVA and length to the page size and pass a bitmap',
  ],
  'dirty-test-too-many-bits': [
    'the test passes a small page size with a long range',
    'keep length / page_size at 2^27 at most',
  ],
  'dirty-test-not-tracking': [
    'pages are marked before SET_DIRTY_TRACKING has switched tracking on',
    'switch tracking on first',
  ],
};
