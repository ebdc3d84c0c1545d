import { IOMMU_INVALIDATE_DATA, IOMMU_VTD_INV_FLAGS, IOMMU_VTD_S1_FLAGS } from '../../uapi/index.ts';
import { addWide, wide } from '../address.ts';
import { BAD_USER_POINTER } from '../check.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import type { HwptNested } from '../state.ts';
import { copyFromUser } from '../user-copy.ts';
import type { EntryArray, Invalidated } from './driver.ts';
import { ENTRY_LENGTH, ENTRY_TYPE } from './user-data.ts';

/** First-stage tables of guests on VT-d: intel/nested.c, pasid.c. */

/** struct iommu_hwpt_vtd_s1: flags, pgtbl_addr, addr_width, __reserved. */
export const NESTED_BYTES = 24;
/** struct iommu_hwpt_vtd_s1_invalidate: addr, npages, flags, __reserved. */
const ENTRY_BYTES = 24;
const FOUR_LEVELS = 48;
const FIVE_LEVELS = 57;

const WIDTH = reason(
  'vtd-nested-address-width',
  'EINVAL',
  'intel/pasid.c intel_pasid_setup_nested',
  'the address width of the guest table is neither 48 nor, where the unit has five levels, 57',
);
const SUPERVISOR = reason(
  'vtd-nested-supervisor',
  'EINVAL',
  'intel/pasid.c intel_pasid_setup_nested',
  'the guest table asks for supervisor requests or extended access flags, which the unit does not have',
);
const ENTRY_FLAGS = reason(
  'vtd-invalidate-flags',
  'EOPNOTSUPP',
  'intel/nested.c intel_nested_cache_invalidate_user',
  'an entry has a flag beyond LEAF, or its reserved field is set',
);
const ENTRY_RANGE = reason(
  'vtd-invalidate-range',
  'EINVAL',
  'intel/nested.c intel_nested_cache_invalidate_user',
  'an entry begins within a page, or asks for everything and names an address',
);

/** Capabilities of the unit, each asked for only when the guest's configuration needs it. */
export interface NestedCapabilities {
  fiveLevels(): boolean;
  supervisor(): boolean;
  extended(): boolean;
}

/** What `intel_pasid_setup_nested` refuses of the guest's configuration. */
export function refuseNestedConfig(hwpt: HwptNested, capabilities: NestedCapabilities): Refusal {
  const bytes = Buffer.from(hwpt.data, 'hex');
  const width = bytes.readUInt32LE(16);
  if (width !== FOUR_LEVELS && !(width === FIVE_LEVELS && capabilities.fiveLevels())) return WIDTH;
  const flags = bytes.readUInt32LE(0);
  if ((flags & IOMMU_VTD_S1_FLAGS.SRE) !== 0 && !capabilities.supervisor()) return SUPERVISOR;
  return (flags & IOMMU_VTD_S1_FLAGS.EAFE) !== 0 && !capabilities.extended() ? SUPERVISOR : null;
}

/** `intel_nested_cache_invalidate_user`: entries are read and done one after the other. */
export function invalidateVtd(kernel: Kernel, _hwpt: HwptNested, entries: EntryArray): Invalidated {
  if (entries.type !== IOMMU_INVALIDATE_DATA.VTD_S1) return { done: 0, refusal: ENTRY_TYPE };
  const at = wide();
  for (let index = 0; index < entries.count; index += 1) {
    const distance = index * entries.entryBytes;
    addWide(at, entries.page, entries.offset, Math.floor(distance / 4096), distance % 4096);
    const refusal = refuseEntry(kernel, entries.entryBytes, at.page, at.offset);
    if (refusal !== null) return { done: index, refusal };
  }
  return { done: entries.count, refusal: null };
}

function refuseEntry(kernel: Kernel, length: number, page: number, offset: number): Refusal {
  if (length !== ENTRY_BYTES) return ENTRY_LENGTH;
  const entry = copyFromUser(kernel, page, offset, length);
  if (entry === null) return BAD_USER_POINTER;
  const view = new DataView(entry.bytes.buffer, entry.bytes.byteOffset, length);
  if ((view.getUint32(16, true) & ~IOMMU_VTD_INV_FLAGS.LEAF) !== 0 || view.getUint32(20, true) !== 0)
    return ENTRY_FLAGS;
  const address = view.getBigUint64(0, true);
  const isEverything = view.getBigUint64(8, true) === 2n ** 64n - 1n;
  return (address & 0xfffn) !== 0n || (isEverything && address !== 0n) ? ENTRY_RANGE : null;
}
