import type { HardwareDomain, TableEntry } from '../../replay/index.ts';
import { hex, hexWord } from './hardware-point.ts';
import type { Session } from './session.ts';

/** Page tables for people, one line an entry or a run of like leaves, and for programs. */

export interface PageRange {
  readonly first: number;
  readonly last: number;
}

export function describeDomain({ hwpt, context, ioas, iommu, key }: HardwareDomain): string {
  const owner = hwpt === 0 ? `container ${context}` : `HWPT ${hwpt} (context ${context}, IOAS ${ioas})`;
  return `${owner}, domain ${key} of ${iommu}`;
}

export function printPageTable(
  session: Session,
  domain: HardwareDomain,
  range: PageRange,
  raw: boolean,
): void {
  const { table } = domain;
  if (table === null) {
    session.print(`${describeDomain(domain)}: the format of its page table is unknown`);
    return;
  }
  const { bold } = session.colors;
  session.print(`${bold(describeDomain(domain))}: ${table.format.name}, ${table.levels()} levels`);
  let lines = 0;
  const print = (line: string): void => {
    lines += 1;
    session.print(line);
  };
  const top = table.levels();
  if (raw) for (const entry of table.entries(range.first, range.last)) print(rawLine(entry, top));
  else for (const run of runsOf(table.entries(range.first, range.last))) print(runLine(run, top));
  if (lines === 0) session.print('  nothing mapped');
}

function indent(level: number, top: number): string {
  return '  '.repeat(1 + top - level);
}

function rawLine({ level, index, page, word, kind }: TableEntry, top: number): string {
  const unknown = word.unknown.map(({ mask, holds }) => ` ${holds} ${hexWord(mask)} unknown`).join(',');
  const place = `${indent(level, top)}L${level}[${index}] ${hex(BigInt(page) << 12n)}`;
  return `${place} ${hexWord(word.value)} ${kind}${unknown}`;
}

/** Entries of one table that follow each other and are alike, with ascending frames. */
interface Run {
  readonly first: TableEntry;
  readonly last: TableEntry;
  readonly count: number;
}

function* runsOf(entries: Iterable<TableEntry>): Generator<Run> {
  let first: TableEntry | null = null;
  let last: TableEntry | null = null;
  let count = 0;
  for (const entry of entries) {
    if (first === null || last === null || !follows(last, entry)) {
      if (first !== null && last !== null) yield { first, last, count };
      first = entry;
      count = 0;
    }
    last = entry;
    count += 1;
  }
  if (first !== null && last !== null) yield { first, last, count };
}

function follows(before: TableEntry, entry: TableEntry): boolean {
  if (before.kind !== 'leaf' || entry.kind !== 'leaf') return false;
  const isLike = before.level === entry.level && before.shift === entry.shift && before.prot === entry.prot;
  if (!isLike || entry.index !== before.index + 1) return false;
  return entry.frame < 0
    ? before.frame < 0
    : before.frame >= 0 && entry.frame - before.frame === entry.page - before.page;
}

function runLine({ first, last, count }: Run, top: number): string {
  const { level, index, page, kind } = first;
  const place = count === 1 ? `${index}` : `${index}-${last.index}`;
  const start = `${indent(level, top)}L${level}[${place}] ${hex(BigInt(page) << 12n)}`;
  if (kind === 'table') return `${start} table`;
  const frame = first.frame < 0 ? 'unknown page' : hex(BigInt(first.frame) << 12n);
  return `${start} -> ${frame}, ${sizeText(first.shift)} ${protText(first.prot)}`;
}

export function sizeText(shift: number): string {
  const units = ['', ' KiB', ' MiB', ' GiB', ' TiB'];
  const unit = Math.floor(shift / 10);
  return `${2 ** (shift % 10)}${units[unit]}`;
}

export function protText(prot: number): string {
  return `${(prot & 1) !== 0 ? 'r' : '-'}${(prot & 2) !== 0 ? 'w' : '-'}`;
}

export function jsonOfPageTable(domain: HardwareDomain, range: PageRange): object {
  const { table, table: _table, ...facts } = domain;
  if (table === null) return { ...facts, format: null, levels: null, entries: [] };
  const entries = [...table.entries(range.first, range.last)].map((entry) => jsonOfEntry(entry));
  return { ...facts, format: table.format.name, levels: table.levels(), entries };
}

function jsonOfEntry({ level, index, page, kind, word, shift, frame, prot }: TableEntry): object {
  const unknown = word.unknown.map(({ mask, holds }) => ({ mask: hexWord(mask), holds }));
  const common = { level, index, iova: hex(BigInt(page) << 12n), kind, word: hexWord(word.value), unknown };
  if (kind === 'table') return common;
  const address = frame < 0 ? null : hex(BigInt(frame) << 12n);
  return { ...common, address, size: 2 ** shift, prot: protText(prot) };
}
