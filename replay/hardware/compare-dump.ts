import { deviceEntry } from './device-entries.ts';
import type { DeviceSlot, HardwareDomain, HardwareView } from './domain.ts';
import type { Dump, DumpedEntry, DumpedTable } from './dumps/index.ts';
import type { PageTable, TableEntry } from './page-table.ts';
import { type UnknownPages, unknownPages } from './unknown-pages.ts';

/** A dump of the real tables against what the model says they hold, entry by entry and bit by bit. */

export interface TableDifference {
  readonly bdf: string;
  readonly pasid: number;
  /**
   * `entry`: the words differ. `missing`: the dump has none. `extra`: we have none. `table`, `device`: see
   * `why`.
   */
  readonly what: 'entry' | 'missing' | 'extra' | 'table' | 'device';
  readonly level: number;
  /** First IOVA that the entry translates. */
  readonly iova: bigint;
  readonly ours: bigint | null;
  readonly theirs: bigint | null;
  /** Bits that differ, of those that we know. */
  readonly bits: bigint;
  readonly why: string;
}

export interface Comparison {
  /** Entries of user domains that the dump or we have, and words of entries of devices. */
  readonly entries: number;
  readonly equal: number;
  readonly different: number;
  /** Bits of equal entries that the trace does not determine, by what they hold. */
  readonly unknownBits: Readonly<Record<string, number>>;
  /** Whose physical pages are unknown: ascending for each slot. */
  readonly unknownPages: readonly UnknownPages[];
  readonly tables: number;
  /** Entries of devices and PASIDs that were compared, by the words that the calls determine. */
  readonly deviceEntries: number;
  /** Slots without a table in the dump, where neither trace nor dump tells whether there should be one. */
  readonly undetermined: readonly { readonly bdf: string; readonly pasid: number }[];
  readonly differences: readonly TableDifference[];
}

interface Tally {
  entries: number;
  equal: number;
  different: number;
  tables: number;
  deviceEntries: number;
  readonly unknown: Map<string, number>;
  readonly unknownPages: UnknownPages[];
  readonly undetermined: { readonly bdf: string; readonly pasid: number }[];
  readonly differences: TableDifference[];
  /** Physical address of the table behind each domain, as found so far. */
  readonly roots: Map<number, bigint>;
}

export function compareDump(view: HardwareView, dump: Dump): Comparison {
  const tally: Tally = {
    entries: 0,
    equal: 0,
    different: 0,
    tables: 0,
    deviceEntries: 0,
    unknown: new Map(),
    unknownPages: [],
    undetermined: [],
    differences: [],
    roots: new Map(),
  };
  for (const slot of view.slots) {
    if (!dump.devices.includes(slot.bdf)) continue;
    compareSlot(view, slot, dump, tally);
    compareDevice(view, slot, dump, tally);
  }
  return {
    entries: tally.entries,
    equal: tally.equal,
    different: tally.different,
    unknownBits: Object.fromEntries([...tally.unknown].sort(([a], [b]) => (a < b ? -1 : 1))),
    unknownPages: tally.unknownPages,
    tables: tally.tables,
    deviceEntries: tally.deviceEntries,
    undetermined: tally.undetermined,
    differences: tally.differences,
  };
}

function compareSlot(view: HardwareView, slot: DeviceSlot, dump: Dump, tally: Tally): void {
  const { state } = slot;
  if (state.kind === 'kernel') return;
  const all = dump.tables.filter(({ bdf, pasid }) => bdf === slot.bdf && pasid === slot.pasid);
  const domain = state.kind === 'blocked' ? undefined : view.domains.find(({ key }) => key === state.domain);
  // Of a nested slot, the guest's own table is not ours.
  const table = all.find(({ format }) => state.kind !== 'nested' || !format.includes('first-stage'));
  if (state.kind === 'blocked') {
    if (table !== undefined) differ(tally, slot, 'the dump has a table where DMA is blocked');
    return;
  }
  if (domain?.table == null) {
    differ(tally, slot, 'the format of our table is unknown');
    return;
  }
  if (slot.written === false) {
    if (table !== undefined)
      differ(tally, slot, 'the dump has a table for a PASID of a device without PASIDs');
    return;
  }
  if (table === undefined) {
    const mayBeAbsent = slot.written === null || (slot.pasid !== 0 && !dump.showsPasids);
    if (mayBeAbsent) tally.undetermined.push({ bdf: slot.bdf, pasid: slot.pasid });
    else differ(tally, slot, 'the dump has no table where a domain is attached');
    return;
  }
  compareTable(domain, domain.table, table, slot, dump, tally);
}

/** Word by word; a blocked VT-d device has no entry, so one that is there must not be present. */
function compareDevice(view: HardwareView, slot: DeviceSlot, dump: Dump, tally: Tally): void {
  const theirs = dump.entries.find(({ bdf, pasid }) => bdf === slot.bdf && pasid === slot.pasid);
  const ours = deviceEntry(view, slot);
  if (slot.state.kind === 'blocked' && ours === null) {
    if (theirs !== undefined && (theirs.words[0]! & 1n) === 1n)
      differ(tally, slot, 'the dump has an entry that is present where DMA is blocked');
    return;
  }
  if (ours === null || theirs === undefined || theirs.name !== ours.name) return;
  tally.deviceEntries += 1;
  ours.words.forEach((word, at) => {
    const other = theirs.words[at];
    if (word === null || other === undefined) return;
    const known = ~word.unknown.reduce((mask, part) => mask | part.mask, 0n);
    const bits = (word.value ^ other) & known;
    tally.entries += 1;
    if (bits === 0n) {
      tally.equal += 1;
      for (const { mask, holds } of word.unknown) count(tally.unknown, holds, mask);
      return;
    }
    tally.different += 1;
    tally.differences.push({
      bdf: slot.bdf,
      pasid: slot.pasid,
      what: 'device',
      level: 0,
      iova: 0n,
      ours: word.value,
      theirs: other,
      bits,
      why: `word ${at} of the ${ours.name} entry`,
    });
  });
}

function compareTable(
  domain: HardwareDomain,
  ours: PageTable,
  theirs: DumpedTable,
  slot: DeviceSlot,
  dump: Dump,
  tally: Tally,
): void {
  const root = tally.roots.get(domain.key);
  if (root !== undefined && root !== theirs.root) {
    differ(tally, slot, 'slots of one domain have different tables');
  }
  tally.roots.set(domain.key, theirs.root);
  if (theirs.entries === null) return;
  tally.tables += 1;
  if (theirs.levels !== null && theirs.levels !== ours.levels()) {
    differ(tally, slot, `the dump's table has ${theirs.levels} levels, ours ${ours.levels()}`);
  }
  tally.unknownPages.push(...unknownPages(domain, ours, slot));
  const own = ours.entries(0, Number.MAX_SAFE_INTEGER);
  compareEntries(dump.showsEmptyTables ? own : withLeaves(own), theirs.entries, slot, tally);
}

/** Leaves out tables that hold no leaf. */
function* withLeaves(entries: Iterable<TableEntry>): Generator<TableEntry> {
  let waiting: TableEntry[] = [];
  for (const entry of entries) {
    waiting = waiting.filter(({ level }) => level > entry.level);
    if (entry.kind === 'table') waiting.push(entry);
    else {
      yield* waiting;
      waiting = [];
      yield entry;
    }
  }
}

/** Both come in the order of a walk. */
function compareEntries(
  ours: Iterable<TableEntry>,
  theirs: readonly DumpedEntry[],
  slot: DeviceSlot,
  tally: Tally,
): void {
  let at = 0;
  const report = (
    what: TableDifference['what'],
    { level, page }: Pick<DumpedEntry, 'level' | 'page'>,
    words: readonly [bigint | null, bigint | null],
    bits: bigint,
  ): void => {
    const { bdf, pasid } = slot;
    tally.different += 1;
    tally.entries += 1;
    const iova = BigInt(page) * 4096n;
    tally.differences.push({
      bdf,
      pasid,
      what,
      level,
      iova,
      ours: words[0],
      theirs: words[1],
      bits,
      why: '',
    });
  };
  for (const entry of ours) {
    while (at < theirs.length && isBefore(theirs[at]!, entry)) {
      report('extra', theirs[at]!, [null, theirs[at]!.word], theirs[at]!.word);
      at += 1;
    }
    const other = theirs[at];
    const { value, unknown } = entry.word;
    if (other === undefined || isBefore(entry, other)) {
      report('missing', entry, [value, null], value);
      continue;
    }
    at += 1;
    const bits = (value ^ other.word) & ~unknown.reduce((mask, part) => mask | part.mask, 0n);
    if (bits !== 0n) report('entry', entry, [value, other.word], bits);
    else {
      tally.entries += 1;
      tally.equal += 1;
      for (const { mask, holds } of unknown) count(tally.unknown, holds, mask);
    }
  }
  for (; at < theirs.length; at += 1)
    report('extra', theirs[at]!, [null, theirs[at]!.word], theirs[at]!.word);
}

function isBefore(a: Pick<DumpedEntry, 'level' | 'page'>, b: Pick<DumpedEntry, 'level' | 'page'>): boolean {
  return a.page < b.page || (a.page === b.page && a.level > b.level);
}

function count(into: Map<string, number>, holds: string, mask: bigint): void {
  let bits = 0;
  for (let rest = mask; rest !== 0n; rest &= rest - 1n) bits += 1;
  into.set(holds, (into.get(holds) ?? 0) + bits);
}

function differ(tally: Tally, { bdf, pasid }: DeviceSlot, why: string): void {
  tally.different += 1;
  tally.entries += 1;
  const none = { level: 0, iova: 0n, ours: null, theirs: null, bits: 0n };
  tally.differences.push({ bdf, pasid, what: 'table', ...none, why });
}
