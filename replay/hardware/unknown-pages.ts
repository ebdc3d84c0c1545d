import type { DeviceSlot, HardwareDomain } from './domain.ts';
import type { PageTable } from './page-table.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/** Memory that is mapped, of which no note of the trace tells the physical pages. */
export interface UnknownPages {
  readonly bdf: string;
  readonly pasid: number;
  readonly iova: bigint;
  /** Of 4096 bytes. */
  readonly pages: number;
  /** Null for a memory file; `va` is the place in it then. */
  readonly pid: number | null;
  readonly va: bigint;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Names the memory behind leaves whose frames nothing tells, joined as far as it goes on. */
export function unknownPages(
  domain: HardwareDomain,
  table: PageTable,
  { bdf, pasid }: DeviceSlot,
): UnknownPages[] {
  const found: Writable<UnknownPages>[] = [];
  for (const { kind, frame, page, level } of table.entries(0, Number.MAX_SAFE_INTEGER)) {
    if (kind !== 'leaf' || frame !== UNKNOWN_FRAME) continue;
    const user = domain.userPage(page);
    if (user === null) continue;
    const pages = 2 ** (table.format.itemShift(level) - 12);
    const iova = BigInt(page) << 12n;
    const va = BigInt(user.page) << 12n;
    const last = found.at(-1);
    const length = BigInt(last?.pages ?? 0) << 12n;
    const goesOn = last?.pid === user.pid && last.iova + length === iova && last.va + length === va;
    if (goesOn) last.pages += pages;
    else found.push({ bdf, pasid, iova, pages, pid: user.pid, va });
  }
  return found;
}
