import { IOMMU_TEST_CMD, IOMMU_TEST_OP, unionOffsetsOf } from '../uapi/index.ts';
import { addWide, isAligned, wide } from './address.ts';
import { firstAreaIn, NONE, startByte } from './area-table.ts';
import { HWPT_NOT_FOUND } from './check.ts';
import { MOCK_IOTLB_ENTRIES } from './drivers/mock-invalidate.ts';
import { pageAt } from './held-pages.ts';
import { smallestPage } from './iova-domains.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { getObject, mustGet } from './objects.ts';
import { REVOKED_DMABUF } from './pages-table.ts';
import { countPins, refuseUserPage } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';
import { fieldOffset, fieldPage, u32 } from './user-call.ts';
import { locatePage } from './user-memory.ts';

/** The selftest's questions about mock page tables and pins: selftest.c of iommufd. */

const MAP = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MD_CHECK_MAP);
const REFS = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MD_CHECK_REFS);
const IOTLB = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MD_CHECK_IOTLB);

const CHECK_MISALIGNED = reason(
  'check-misaligned',
  'EINVAL',
  'selftest.c iommufd_test_md_check_pa, _md_check_refs',
  'an address or length is no multiple of the page asked about, or the user range wraps',
);
const PAGE_DIFFERS = reason(
  'check-map-differs',
  'EINVAL',
  'selftest.c iommufd_test_md_check_pa',
  'the page table holds no page, or another one, where the check expects the page of the user address',
);
const PINS_DIFFER = reason(
  'check-refs-differ',
  'EIO',
  'selftest.c iommufd_test_md_check_refs',
  'a page is not pinned as often as the check expects',
);
const IOTLB_DIFFERS = reason(
  'check-iotlb-differs',
  'EINVAL',
  'selftest.c iommufd_test_md_check_iotlb',
  'the fake IOTLB entry does not exist or holds another value',
);

/** MD_CHECK_MAP: every half page of the IOVA range must be the one behind the user address. */
export function checkMap(kernel: Kernel, context: Context, id: number): Refusal {
  const { call, memory } = kernel;
  const { pageBytes, has } = kernel.profile;
  const hwpt = getObject(context, id, 'hwpt-paging');
  // With the generic page table the domain tells the step; before, the page table was asked for second.
  if (has.genericMockTable && hwpt === undefined) return HWPT_NOT_FOUND;
  const step = has.genericMockTable ? smallestPage(hwpt!.domain) : pageBytes / 2;
  const iova = wide(fieldPage(call, MAP.iova), fieldOffset(call, MAP.iova));
  const user = wide(fieldPage(call, MAP.uptr), fieldOffset(call, MAP.uptr));
  const lengthPage = fieldPage(call, MAP.length);
  const lengthOffset = fieldOffset(call, MAP.length);
  const end = wide();
  const wraps = addWide(end, user.page, user.offset, lengthPage, lengthOffset);
  const aligned =
    isAligned(iova.page, iova.offset, step) &&
    isAligned(lengthPage, lengthOffset, step) &&
    isAligned(user.page, user.offset, step);
  if (!aligned || wraps) return CHECK_MISALIGNED;
  if (hwpt === undefined) return HWPT_NOT_FOUND;
  const space = spaceOf(kernel, mustGet(context, hwpt.ioas, 'ioas'));
  const { areas } = space;
  const byte = wide();
  for (let left = (lengthPage * 4096 + lengthOffset) / step; left > 0; left -= 1) {
    const fault = refuseUserPage(kernel, user.page);
    if (fault !== null) return fault;
    const slot = firstAreaIn(areas, iova.page, iova.offset, iova.page, iova.offset);
    if (slot === NONE) return PAGE_DIFFERS;
    startByte(byte, areas, slot, iova.page, iova.offset);
    const pages = areas.pages[slot]!;
    if (kernel.pages.source[pages] === REVOKED_DMABUF) return PAGE_DIFFERS;
    const held = pageAt(kernel, pages, byte.page);
    const asked = locatePage(memory, call.mm, user.page);
    if (held.object !== asked.object || held.page !== asked.page || byte.offset !== user.offset)
      return PAGE_DIFFERS;
    addWide(iova, iova.page, iova.offset, Math.floor(step / 4096), step % 4096);
    addWide(user, user.page, user.offset, Math.floor(step / 4096), step % 4096);
  }
  return null;
}

/** MD_CHECK_REFS: how often each user page is pinned. Pages of huge folios are not looked at. */
export function checkRefs(kernel: Kernel): Refusal {
  const { call, memory } = kernel;
  const user = wide(fieldPage(call, REFS.uptr), fieldOffset(call, REFS.uptr));
  const lengthPage = fieldPage(call, REFS.length);
  const end = wide();
  const wraps = addWide(end, user.page, user.offset, lengthPage, fieldOffset(call, REFS.length));
  if (fieldOffset(call, REFS.length) !== 0 || user.offset !== 0 || wraps) return CHECK_MISALIGNED;
  const expected = u32(call, REFS.refs);
  for (let page = user.page; page < user.page + lengthPage; page += 1) {
    const fault = refuseUserPage(kernel, page);
    if (fault !== null) return fault;
    if (locatePage(memory, call.mm, page).huge) continue;
    if (countPins(kernel, call.mm, page) !== expected) return PINS_DIFFER;
  }
  return null;
}

/** MD_CHECK_IOTLB: one entry of a nested domain's fake IOTLB. */
export function checkIotlb(kernel: Kernel, context: Context, id: number): Refusal {
  const { call } = kernel;
  const hwpt = getObject(context, id, 'hwpt-nested');
  if (hwpt === undefined) return HWPT_NOT_FOUND;
  const entry = u32(call, IOTLB.id);
  return entry >= MOCK_IOTLB_ENTRIES || hwpt.iotlb[entry] !== u32(call, IOTLB.iotlb) ? IOTLB_DIFFERS : null;
}
