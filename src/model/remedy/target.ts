import { objectIn, wideIn } from '../check-order/check.ts';
import type { Context, Ioas } from '../state.ts';
import { compatIoas } from '../vfio-ioas.ts';
import type { Explain, Refused, Remedy } from './finding.ts';

/** Which range of which IOAS a call is about. */

export type InContext = Refused & { readonly context: Context };

/** The IOAS that a call maps into or unmaps from, and the range as the caller gave it; inclusive. */
export interface Target {
  /** An access object may live in another context than the descriptor of the call. */
  readonly context: Context;
  readonly ioas: Ioas;
  readonly first: bigint;
  readonly last: bigint;
}

const RANGE_FIELDS: Readonly<Record<string, readonly [ioas: string, iova: string, length: string]>> = {
  IOMMU_IOAS_MAP: ['ioas_id', 'iova', 'length'],
  IOMMU_IOAS_MAP_FILE: ['ioas_id', 'iova', 'length'],
  IOMMU_IOAS_UNMAP: ['ioas_id', 'iova', 'length'],
  IOMMU_IOAS_COPY: ['dst_ioas_id', 'dst_iova', 'length'],
  VFIO_IOMMU_MAP_DMA: ['', 'iova', 'size'],
  VFIO_IOMMU_UNMAP_DMA: ['', 'iova', 'size'],
  'IOMMU_TEST_CMD ADD_RESERVED': ['id', 'start', 'length'],
};

export function targetOf(refused: InContext): Target | null {
  const fields = RANGE_FIELDS[refused.command];
  if (fields === undefined) return null;
  const [id, iova, length] = fields;
  const ioas = id === '' ? compatIoas(refused.context) : objectIn(refused, id);
  if (ioas?.type !== 'ioas') return null;
  const { context } = refused;
  return { context, ioas, ...rangeFrom(wideIn(refused, iova), wideIn(refused, length)) };
}

function rangeFrom(first: bigint, length: bigint): { readonly first: bigint; readonly last: bigint } {
  const last = first + length - 1n;
  return { first, last: last < 2n ** 64n ? last : 2n ** 64n - 1n };
}

/** The source of a COPY, or what an access object was asked for. */
export function sourceOf(refused: InContext): Target | null {
  if (refused.command === 'IOMMU_IOAS_COPY') {
    const ioas = objectIn(refused, 'src_ioas_id');
    // With the selftest's SYZ flag the field is no address.
    if (ioas?.type !== 'ioas' || (wideIn(refused, 'flags') & 0x10000n) !== 0n) return null;
    const { context } = refused;
    return { context, ioas, ...rangeFrom(wideIn(refused, 'src_iova'), wideIn(refused, 'length')) };
  }
  const { files, contexts } = refused.kernel.state;
  const file = files[refused.descriptors[Number(wideIn(refused, 'id'))] ?? 0];
  const context = contexts[file?.context ?? 0];
  const access = context?.objects[file?.object ?? 0];
  const ioas = access?.type === 'access' ? context?.objects[access.ioas] : undefined;
  if (context === undefined || ioas?.type !== 'ioas' || (wideIn(refused, 'flags') & 0x10000n) !== 0n)
    return null;
  return { context, ioas, ...rangeFrom(wideIn(refused, 'iova'), wideIn(refused, 'length')) };
}

/** Wraps what is said about a target; nothing is said of a call without one. */
export const about =
  (
    find: (refused: InContext) => Target | null,
    say: (target: Target, refused: InContext) => Remedy | null,
  ): Explain =>
  (refused) => {
    const target = find(refused);
    return target === null ? null : say(target, { ...refused, context: target.context });
  };
