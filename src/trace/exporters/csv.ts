import { decodeStruct, errnoName, findIoctl, selectedCase } from '../../uapi/index.ts';
import { encodeHex } from '../bytes.ts';
import type { Call, IoctlCall } from '../call.ts';
import { createExportTally, type ExportSource, type ExportSummary, type WriteText } from './source.ts';

/** Columns of the table, in order. */
export const CSV_COLUMNS = [
  'seq',
  'pid',
  'tid',
  't_ns',
  'op',
  'name',
  'fd',
  'kind',
  'ret',
  'errno',
  'error',
  'ioas',
  'iova',
  'length',
  'user_va',
  'arg',
  'out',
  'text',
] as const;

export interface CsvExportOptions {
  /** The decoded call in one line, for the last column. */
  readonly describe: (call: Call) => string;
}

/**
 * Writes one row for each record, as RFC 4180 has it, with a head. Numbers that a spreadsheet would round are
 * hexadecimal with 0x; what a record does not have is empty.
 */
export function exportCsv(
  source: ExportSource,
  write: WriteText,
  { describe }: CsvExportOptions,
): ExportSummary {
  const tally = createExportTally();
  write(`${CSV_COLUMNS.join(',')}\r\n`);
  for (const call of source.calls()) {
    write(`${rowOf(call, describe(call)).map(cell).join(',')}\r\n`);
    tally.wrote();
  }
  return tally.summary();
}

type Cell = string | number | bigint | null;

function rowOf(call: Call, text: string): Cell[] {
  const answered = 'replied' in call && call.replied;
  const fd =
    'fd' in call ? call.fd : Number('fields' in call ? (call.fields['fd'] ?? Number.NaN) : Number.NaN);
  const struct = call.op === 'ioctl' ? fieldsOf(call) : {};
  return [
    call.seq,
    call.pid,
    call.tid,
    call.tNs,
    call.op,
    nameOf(call),
    Number.isNaN(fd) ? null : fd,
    'kind' in call ? call.kind : null,
    call.op === 'mmap' ? hexOf(call.mapped) : answered ? call.ret : null,
    call.op === 'mmap' ? call.errno : answered ? call.errno : null,
    'errno' in call && call.errno !== 0 ? errnoName(call.errno) : null,
    struct['ioas_id'] ?? struct['dst_ioas_id'] ?? null,
    hexOf(struct['iova'] ?? struct['dst_iova']),
    hexOf(struct['length'] ?? struct['size64']),
    hexOf(struct['user_va'] ?? struct['vaddr']),
    call.op === 'ioctl' && call.arg !== null ? encodeHex(call.arg) : null,
    call.op === 'ioctl' && call.out !== null && call.out !== call.arg ? encodeHex(call.out) : null,
    text,
  ];
}

function nameOf(call: Call): string {
  if (call.op === 'ioctl') return findIoctl(call.kind, call.cmd)?.name ?? `0x${call.cmd.toString(16)}`;
  if (call.op === 'call') return call.name;
  return call.op === 'note' ? call.kind : call.op;
}

/** Fields of the struct as the kernel left it, by name; `size` of a VFIO struct is `size64`. */
function fieldsOf(call: IoctlCall): Readonly<Record<string, Cell>> {
  const layout = findIoctl(call.kind, call.cmd)?.layout;
  const bytes = call.replied && call.ret !== -1 ? (call.out ?? call.arg) : call.arg;
  if (!layout || bytes === null) return {};
  const { fields, member } = decodeStruct(layout, bytes);
  const values: Record<string, Cell> = {};
  const known = [...layout.fields, ...(selectedCase(layout, fields)?.fields ?? [])];
  const all: Readonly<Record<string, unknown>> = { ...member?.fields, ...fields };
  for (const { name, refers } of known) {
    const value = all[name];
    if (typeof value !== 'number' && typeof value !== 'bigint') continue;
    values[name === 'size' && refers === 'length' ? 'size64' : name] = value;
  }
  return values;
}

function hexOf(value: Cell | undefined): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : `0x${value.toString(16)}`;
}

function cell(value: Cell): string {
  if (value === null) return '';
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
