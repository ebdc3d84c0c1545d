import type { Dump, DumpedDevice, DumpedEntry, DumpedTable } from './dump.ts';

/**
 * Tables read from physical memory, as `tables-*.txt` has them: every entry down to the leaves, raw words.
 */

const HEAD = /^(?:vtd|amd-iommu|riscv-iommu) mmio=0x/;
const DEVICE = /^dev (\S+) devid=/;
const PASID = /^ pasid (\d+) @/;
const GCR3 = /^ gcr3 .*pasid=(\d+) = /;
const ROOT = /^ root (\S+) pa=(0x[0-9a-f]+)(?: levels=(\d+))?/;
/** An entry of a device or PASID: its words stand behind `=`. */
const WORDS = /^ (dte|dc|pasid)(?: \d+)? @0x[0-9a-f]+ (.*=.*)$/;
const ENTRY = /^ {2}(?:tbl|leaf)\s+L(\d) \[\d+\] iova=(0x[0-9a-f]+) = (0x[0-9a-f]+)/;

export function parseTablesText(text: string): Dump | null {
  if (!HEAD.test(text)) return null;
  const tables: (DumpedTable & { entries: DumpedEntry[] | null })[] = [];
  const entries: DumpedDevice[] = [];
  const devices: string[] = [];
  let bdf = '';
  let pasid = 0;
  for (const line of text.split('\n')) {
    const entry = ENTRY.exec(line);
    if (entry !== null) {
      const [, level, iova, word] = entry;
      const page = Number(BigInt(iova!) >> 12n);
      tables.at(-1)?.entries?.push({ level: Number(level), page, word: BigInt(word!) });
      continue;
    }
    const device = DEVICE.exec(line);
    if (device !== null) {
      bdf = device[1]!;
      pasid = 0;
      devices.push(bdf);
    }
    pasid = Number((PASID.exec(line) ?? GCR3.exec(line))?.[1] ?? pasid);
    const words = WORDS.exec(line);
    if (words !== null) {
      const all = [...words[2]!.matchAll(/=(0x[0-9a-f]+)/g)].map(([, word]) => BigInt(word!));
      entries.push({ bdf, pasid, name: words[1]!, words: all });
    }
    const root = ROOT.exec(line);
    if (root === null) continue;
    const [, format, address, levels] = root;
    tables.push({
      bdf,
      pasid,
      format: format!,
      root: BigInt(address!),
      levels: levels === undefined ? null : Number(levels),
      entries: line.includes('(printed above)') ? null : [],
    });
  }
  return {
    kind: 'tables read from memory',
    showsEmptyTables: true,
    showsPasids: true,
    entries,
    tables,
    devices,
  };
}
