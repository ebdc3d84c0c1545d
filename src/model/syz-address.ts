import { addWide, type Wide, wide } from './address.ts';
import { type AreaTable, firstArea, NONE, nextArea } from './area-table.ts';
import { type UserCall, u32 } from './user-call.ts';

/**
 * The selftest's way to name an address for a fuzzer: {u32 nth_area, u32 offset} in place of a 64-bit IOVA.
 * The IOVA `offset` bytes into the n-th area, or 0 when there is none. Source: selftest.c
 * __iommufd_test_syz_conv_iova.
 */
export function syzAddress(call: UserCall, field: number, areas: AreaTable): Wide {
  let slot = firstArea(areas);
  for (let nth = u32(call, field); slot !== NONE && nth > 0; nth -= 1) slot = nextArea(areas, slot);
  const at = wide();
  if (slot === NONE) return at;
  const offset = u32(call, field + 4);
  addWide(at, areas.startPage[slot]!, areas.startOffset[slot]!, Math.floor(offset / 4096), offset % 4096);
  return at;
}
