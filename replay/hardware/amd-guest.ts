import { placeOf, readThrough, type SecondStage } from './first-stage.ts';
import type { WalkFault } from './page-table.ts';
import type { TranslationStep } from './translation.ts';

/**
 * From a guest's device table entry (`struct iommu_hwpt_amd_guest`) to the page table of a PASID: AMD's IOMMU
 * specification, "Guest CR3 table".
 */

export type FoundGcr3 =
  | { readonly kind: 'root'; readonly root: bigint; readonly levels: number }
  /** The guest translates nothing of its own. */
  | { readonly kind: 'bypass' }
  | { readonly kind: 'invalid' }
  | { readonly kind: 'second-stage'; readonly fault: WalkFault }
  | { readonly kind: 'missing'; readonly ipa: bigint };

const GUEST_VALID = 1n << 55n;
const ADDRESS = 0xf_ffff_ffff_f000n;
const BITS_PER_LEVEL = 9n;

export function findGcr3(
  below: SecondStage,
  data: Uint8Array,
  pasid: number,
  steps: TranslationStep[],
): FoundGcr3 {
  if (data.length < 24) return { kind: 'invalid' };
  const entry = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [low, middle, high] = [0, 8, 16].map((at) => entry.getBigUint64(at, true)) as [
    bigint,
    bigint,
    bigint,
  ];
  if ((low & GUEST_VALID) === 0n) return { kind: 'bypass' };
  // GCR3 bits 14:12, 30:15 and 51:31 stand in three places.
  let base =
    (((low >> 58n) & 7n) << 12n) |
    (((middle >> 16n) & 0xffffn) << 15n) |
    (((middle >> 43n) & 0x1f_ffffn) << 31n);
  const tableLevels = Number((low >> 56n) & 3n) + 1;
  if (BigInt(pasid) >> (BITS_PER_LEVEL * BigInt(tableLevels)) !== 0n) return { kind: 'invalid' };
  for (let level = tableLevels; level >= 1; level -= 1) {
    const index = (BigInt(pasid) >> (BITS_PER_LEVEL * BigInt(level - 1))) % (1n << BITS_PER_LEVEL);
    const at = base + index * 8n;
    const read = readThrough(below, at, steps);
    if (read === 'missing') return { kind: 'missing', ipa: at };
    if ('fault' in read) return { kind: 'second-stage', fault: read.fault };
    const { word } = read;
    const isValid = (word & 1n) !== 0n;
    steps.push({
      at: `GCR3 table level ${level}`,
      index: Number(index),
      word: { value: word, unknown: [] },
      says: `${isValid ? 'valid' : 'not valid'}, ${placeOf(below, at)}`,
    });
    if (!isValid) return { kind: 'invalid' };
    base = word & ADDRESS;
  }
  // GuestPagingMode: 4 levels, or 5.
  return { kind: 'root', root: base, levels: 4 + Number((high >> 54n) & 3n) };
}
