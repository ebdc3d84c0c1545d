import type { Dump, DumpedEntry, DumpedTable } from './dump.ts';

/**
 * Linux's intel-iommu debugfs, one or more of its files one after the other: `domain_translation_struct`,
 * with one row for each leaf and the entries on the way to it. Tables without a leaf do not show.
 */

const COLUMNS = /^IOVA_PFN\s+PML5E\s+PML4E\s+PDPE\s+PDE\s+PTE|^B\.D\.F\s+Root_entry/m;
/** 6.12 writes `@0x…`, older ones `@ 0x…`. */
const DEVICE = /^Device (\S+)(?: with pasid (\w+))? @\s*(0x[0-9a-f]+)/;
/** The columns end with that of the leaf. */
const ROW = /^(0x[0-9a-f]+)\s*\|((?:\s+0x[0-9a-f]+){3,5})/;
const LEVELS = 5;

export function parseVtdDebugfs(text: string): Dump | null {
  if (!COLUMNS.test(text)) return null;
  const tables: (DumpedTable & { entries: DumpedEntry[] })[] = [];
  const devices = new Set<string>();
  let above: bigint[] = [];
  for (const line of text.split('\n')) {
    const file = /^## .*\/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\//.exec(line);
    if (file !== null) devices.add(file[1]!);
    const device = DEVICE.exec(line);
    if (device !== null) {
      const [, bdf, pasid = '0', root] = device;
      devices.add(bdf!);
      // The pasid is hexadecimal without a prefix.
      tables.push({
        bdf: bdf!,
        pasid: Number.parseInt(pasid, 16),
        format: '',
        root: BigInt(root!),
        levels: null,
        entries: [],
      });
      above = [];
    }
    const row = ROW.exec(line);
    const table = tables.at(-1);
    if (row === null || table === undefined) continue;
    above = addRow(table.entries, Number(BigInt(row[1]!)), row[2]!.trim().split(/\s+/).map(BigInt), above);
  }
  return {
    kind: 'intel-iommu debugfs',
    showsEmptyTables: false,
    showsPasids: false,
    tables,
    devices: [...devices],
  };
}

/** Adds the entries of a row that the row above does not share; gives the row's words. */
function addRow(entries: DumpedEntry[], page: number, words: bigint[], above: readonly bigint[]): bigint[] {
  let shared = true;
  words.forEach((word, column) => {
    const level = LEVELS - column;
    const span = 2 ** (9 * (level - 1));
    const last = entries.findLast((entry) => entry.level === level);
    const start = page - (page % span);
    shared &&= word === above[column] && (word === 0n || last?.page === start);
    if (word !== 0n && !shared) entries.push({ level, page: start, word });
  });
  return words;
}
