import { type Call, type CallLinks, wordAt } from '../../src/trace/index.ts';
import { RANGE_FIELDS } from '../../src/uapi/index.ts';

/** IOVAs that a call maps, copies to or unmaps, in pages of 4096 bytes, both inclusive. */
export interface AskedRange {
  /** The IOAS, or the descriptor of a container, as a resource; null when nobody knows it. */
  readonly space: number | null;
  readonly firstPage: number;
  readonly lastPage: number;
}

const PAGE_BYTES = 4096;
const TWO_32 = 2 ** 32;
const LAST_PAGE = 2 ** 52 - 1;

/** The range of a call as the kernel left it (the IOVA that it chose); null for a call without one. */
export function rangeOf(call: Call, links: CallLinks): AskedRange | null {
  if (call.op !== 'ioctl' || call.arg === null || (call.kind !== 'iommufd' && call.kind !== 'container'))
    return null;
  const fields = RANGE_FIELDS[call.cmd];
  if (fields === undefined) return null;
  const [ioasAt, iovaAt, lengthAt] = fields;
  const bytes = call.out ?? call.arg;
  const firstPage = Math.floor(u64At(bytes, iovaAt) / PAGE_BYTES);
  const pages = Math.ceil(u64At(call.arg, lengthAt) / PAGE_BYTES);
  const place = links.uses.find(({ place: at }) =>
    ioasAt === null ? at.at === 'fd' : at.at === 'struct' && at.site.offset === ioasAt,
  );
  return {
    space: place?.resource.index ?? null,
    firstPage,
    lastPage: Math.min(LAST_PAGE, firstPage + Math.max(1, pages)),
  };
}

/** Exact enough for pages: what a double rounds lies below the page. */
function u64At(bytes: Uint8Array, offset: number): number {
  return wordAt(bytes, offset, 4) + wordAt(bytes, offset + 4, 4) * TWO_32;
}
