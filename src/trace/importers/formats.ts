import { BPFTRACE_PLAIN, BPFTRACE_RECORDER } from './bpftrace/index.ts';
import { FTRACE } from './ftrace.ts';
import type { ForeignFormat } from './importer.ts';
import { QEMU_LOG } from './qemu/index.ts';
import { STRACE } from './strace/index.ts';
import { SYZKALLER } from './syzkaller/index.ts';

/**
 * Foreign formats in the order in which they are tried. The order is fixed: where a line could be of two
 * formats, the first one has it. A capture comes before all of them; its first line begins with a brace.
 */
export const FOREIGN_FORMATS: readonly ForeignFormat[] = [
  BPFTRACE_RECORDER,
  BPFTRACE_PLAIN,
  FTRACE,
  SYZKALLER,
  STRACE,
  QEMU_LOG,
];

/** Names that `--format` takes; the first two are one. */
export const FORMAT_NAMES: readonly string[] = [
  'ioasis',
  'capture',
  ...FOREIGN_FORMATS.map(({ name }) => name),
];

/** A foreign format by its name; undefined for a capture. */
export function findFormat(name: string): ForeignFormat | undefined {
  return FOREIGN_FORMATS.find((format) => format.name === name);
}

/** Lines at the beginning of a file that are looked at to tell its format. */
const LINES_LOOKED_AT = 400;

/**
 * Tells the format by the beginning of a file: the first format, in the fixed order, that one of the first
 * lines can only be of. Null for a capture, and for what nothing tells: reading it as a capture says what is
 * wrong with it.
 */
export function detectFormat(head: string): ForeignFormat | null {
  const lines = head.replace(/^\uFEFF/, '').split('\n', LINES_LOOKED_AT);
  const first = lines.find((line) => line.trim() !== '') ?? '';
  if (first.trimStart().startsWith('{')) return null;
  for (const format of FOREIGN_FORMATS) if (lines.some((line) => format.detects(line))) return format;
  return null;
}
