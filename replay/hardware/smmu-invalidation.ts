import { placeLeaves } from './leaf-sizes.ts';
import type { PageTable } from './page-table.ts';
import {
  invalidateDevice,
  invalidateDeviceRange,
  invalidateRange,
  invalidateTag,
  type SmmuCommand,
  sync,
  type TlbRange,
  type TlbTag,
} from './smmu-commands.ts';
import type { SmmuFeatures } from './smmu-features.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/** What a change of a table makes the driver invalidate: io-pgtable-arm.c, and the gathering of iommu.h. */

export type Invalidate = (range: TlbRange) => void;

const BYTES = 4096;

/** A table that tells what has to be invalidated as it changes. */
export function invalidatingTable(table: PageTable, invalidate: Invalidate): PageTable {
  return {
    ...table,
    map(page, pageCount, frame, prot) {
      if (frame !== UNKNOWN_FRAME) {
        placeLeaves(table.format.leafSizes, page, pageCount, frame, (first, last, size) =>
          flushTables(table, first, last, size, invalidate),
        );
      }
      table.map(page, pageCount, frame, prot);
    },
    unmap(page, pageCount) {
      flushUnmap(table, page, pageCount, invalidate);
      table.unmap(page, pageCount);
    },
  };
}

/**
 * Tables in the way of blocks, or of an unmap of their whole span, go one by one: io_pgtable_tlb_flush_walk.
 */
function flushTables(
  table: PageTable,
  first: number,
  last: number,
  size: number,
  invalidate: Invalidate,
): void {
  const { leafSizes } = table.format;
  const { shift, level } = leafSizes[size]!;
  if (level === 1) return;
  const pageShift = leafSizes[0]!.shift;
  for (const entry of table.entries(first, last)) {
    if (entry.kind !== 'table' || entry.level !== level) continue;
    invalidate({
      iova: entry.page * BYTES,
      bytes: 2 ** shift,
      granuleShift: pageShift,
      pageShift,
      leaf: false,
    });
  }
}

/** `iommu_unmap`: pages of one size are gathered, and another size begins a new range. */
function flushUnmap(table: PageTable, page: number, pageCount: number, invalidate: Invalidate): void {
  const { leafSizes } = table.format;
  const pageShift = leafSizes[0]!.shift;
  let gathered: TlbRange | null = null;
  const gather = (first: number, last: number, shift: number): void => {
    const bytes = (last - first + 1) * BYTES;
    if (gathered?.granuleShift === shift) {
      gathered = { ...gathered, bytes: gathered.bytes + bytes };
      return;
    }
    if (gathered !== null) invalidate(gathered);
    gathered = { iova: first * BYTES, bytes, granuleShift: shift, pageShift, leaf: true };
  };
  // The kernel asks for the largest pages that the IOVA range alone allows.
  placeLeaves(leafSizes, page, pageCount, page, (first, last, size) => {
    const { shift, level } = leafSizes[size]!;
    const span = 2 ** (table.format.itemShift(level) - 12 + table.format.indexBits(level));
    // One call of the driver stays within one table.
    for (let at = first; at <= last; ) {
      const end = Math.min(last, at - (at % span) + span - 1);
      flushTables(table, at, end, size, invalidate);
      gather(at, end, shift);
      at = end + 1;
    }
  });
  if (gathered !== null) invalidate(gathered);
}

/** Who has to hear of a change of a domain. */
export interface Listeners {
  readonly tag: TlbTag;
  /** Tables of guests may rest on the domain: all that is cached of them goes too. */
  readonly nestParent: boolean;
  /** Stream ids of attached devices that have ATS on. */
  readonly atsStreams: readonly number[];
}

/** `__arm_smmu_domain_inv_range`: batches of commands, each with its SYNC. */
export function domainCommands(features: SmmuFeatures, listeners: Listeners, range: TlbRange): SmmuCommand[] {
  const { tag, nestParent, atsStreams } = listeners;
  const commands = [...invalidateRange(features, tag, range), sync()];
  const isAll = commands[0]!.name === 'TLBI_S12_VMALL';
  if (nestParent && !isAll) commands.push(invalidateTag('TLBI_NH_ALL', tag), sync());
  if (atsStreams.length > 0) {
    const all = atsStreams.map((stream) =>
      nestParent ? invalidateDevice(stream) : invalidateDeviceRange(stream, range.iova, range.bytes),
    );
    commands.push(...all, sync());
  }
  return commands;
}
