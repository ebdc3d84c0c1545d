import type { Dump, DumpedDevice, DumpedEntry, DumpedTable } from './dump.ts';

/**
 * Linux's intel-iommu debugfs, one or more of its files one after the other: `domain_translation_struct`,
 * with one row for each leaf and the entries on the way to it. Tables without a leaf do not show.
 */

const COLUMNS = /^IOVA_PFN\s+PML5E\s+PML4E\s+PDPE\s+PDE\s+PTE|^B\.D\.F\s+Root_entry/m;
/** 6.12 writes `@0x…`, older ones `@ 0x…`. */
const DEVICE = /^Device (\S+)(?: with pasid (\w+))? @\s*(0x[0-9a-f]+)/;
/** The columns end with that of the leaf. */
const ROW = /^(0x[0-9a-f]+)\s*\|((?:\s+0x[0-9a-f]+){3,5})/;
/** `dmar_translation_struct`: device, root entry, context entry, PASID (-1 in legacy mode) and its entry. */
const DEVICE_ROW =
  /^([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s+\S+\s+(0x[0-9a-f]+):(0x[0-9a-f]+)\s+(-?\d+)\s+(0x[0-9a-f:x]+)/;
const LEVELS = 5;

export function parseVtdDebugfs(text: string): Dump | null {
  if (!COLUMNS.test(text)) return null;
  const tables: (DumpedTable & { entries: DumpedEntry[] })[] = [];
  const devices = new Set<string>();
  const entries: DumpedDevice[] = [];
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
    const entry = DEVICE_ROW.exec(line);
    if (entry !== null) entries.push(deviceOf(entry));
    const row = ROW.exec(line);
    const table = tables.at(-1);
    if (row === null || table === undefined) continue;
    above = addRow(table.entries, Number(BigInt(row[1]!)), row[2]!.trim().split(/\s+/).map(BigInt), above);
  }
  return {
    kind: 'intel-iommu debugfs',
    showsEmptyTables: false,
    showsPasids: false,
    entries,
    tables,
    devices: [...devices],
  };
}

/** The words stand highest first. Domain numbers other than 0 do not show. */
function deviceOf([, device, high, low, pasid, entry]: RegExpExecArray): DumpedDevice {
  const bdf = `0000:${device}`;
  if (pasid === '-1') return { bdf, pasid: 0, name: 'context', words: [BigInt(low!), BigInt(high!)] };
  return { bdf, pasid: Number(pasid), name: 'pasid', words: entry!.split(':').map(BigInt).reverse() };
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
