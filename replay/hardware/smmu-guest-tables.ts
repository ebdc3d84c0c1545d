import { type ArmGeometry, armGeometry, indexBits, itemShift } from './formats/arm-lpae.ts';
import { armStage1 } from './formats/arm-stage1.ts';
import { type GuestMemory, readGuest } from './guest-memory.ts';
import { type ContextFields, parseContext } from './smmu-context-descriptor.ts';
import type { DumpedTableEntry } from './smmu-dump.ts';
import { ENTRY_WORDS } from './smmu-words.ts';
import type { TableFormat } from './table-format.ts';

/** A guest's own stage-1 tables, read from the memory that a trace recorded. */

export interface GuestTables {
  /** Words of the context descriptor of the RID; null each where the trace does not hold it. */
  readonly context: readonly (bigint | null)[] | 'unmapped';
  /** Entries that are not zero, in the order of a walk; `at` is an IPA. */
  readonly entries: readonly DumpedTableEntry[];
  /** Addresses of tables of which the trace does not hold every word. */
  readonly missing: readonly bigint[];
  /** The guest gave commands that announce a change after the oldest of this memory was recorded. */
  readonly mayHaveChanged: boolean;
}

const CONTEXT_POINTER = ((1n << 52n) - 1n) & ~0x3fn;
const S1FMT = 0x30n;
const NO_TABLES: GuestTables = { context: 'unmapped', entries: [], missing: [], mayHaveChanged: false };

/**
 * Reads a guest's tables from its stream table entry on. `announced` is the last record by which the guest
 * invalidated anything. Tables of descriptors of two levels are not followed: the devices that a guest sees
 * here have one descriptor.
 */
export function readGuestTables(
  memory: GuestMemory,
  first: bigint,
  outputBits: number,
  announced: number,
): GuestTables {
  if ((first & S1FMT) !== 0n) return NO_TABLES;
  const pointer = first & CONTEXT_POINTER;
  const words = Array.from({ length: ENTRY_WORDS }, (_, at) => readGuest(memory, pointer + 8n * BigInt(at)));
  if (words.includes('unmapped')) return NO_TABLES;
  const context = words as (bigint | null)[];
  const oldest = seqAt(memory, pointer);
  const found = { context, entries: [], missing: [], mayHaveChanged: announced > oldest };
  const [head, base] = context;
  if (head == null || base == null) return { ...found, missing: [pointer] };
  const fields = parseContext(head, base);
  const geometry = guestGeometry(fields, outputBits);
  if (!fields.valid || fields.disabled || geometry === null) return found;
  const reader: Reader = { memory, geometry, format: armStage1(geometry), entries: [], missing: [], oldest };
  readTable(reader, geometry.levels, fields.tableBase, 0);
  const { entries, missing } = reader;
  return { context, entries, missing, mayHaveChanged: announced > reader.oldest };
}

function seqAt(memory: GuestMemory, ipa: bigint): number {
  return memory.page(Number(ipa >> 12n))?.seq ?? Number.POSITIVE_INFINITY;
}

/** Null for a size that no walk has. */
export function guestGeometry(fields: ContextFields, outputBits: number): ArmGeometry | null {
  const { granuleShift, inputBits } = fields;
  if (inputBits < 25 || inputBits > 48) return null;
  return armGeometry({ pageSizes: 1n << BigInt(granuleShift), inputBits, outputBits });
}

interface Reader {
  readonly memory: GuestMemory;
  readonly geometry: ArmGeometry;
  readonly format: TableFormat;
  readonly entries: DumpedTableEntry[];
  readonly missing: bigint[];
  oldest: number;
}

/** Tables that point at each other could yield 2^36 entries; a guest that means well has far fewer. */
const MOST_ENTRIES = 2 ** 18;

function readTable(reader: Reader, level: number, base: bigint, firstPage: number): void {
  const { memory, geometry, format } = reader;
  const count = 2 ** indexBits(geometry, level);
  const itemPages = 2 ** (itemShift(geometry, level) - 12);
  let isMissing = false;
  reader.oldest = Math.min(reader.oldest, seqAt(memory, base));
  for (let index = 0; index < count; index += 1) {
    const at = base + 8n * BigInt(index);
    const word = readGuest(memory, at);
    if (reader.entries.length >= MOST_ENTRIES) {
      reader.missing.push(at);
      return;
    }
    // The walk of a table that stage 2 does not translate ends there.
    if (word === 'unmapped') continue;
    if (word === null) isMissing = true;
    if (word === null || word === 0n) continue;
    const page = firstPage + index * itemPages;
    reader.entries.push({ level, index, page, at, word });
    if (format.parse(word, level).kind === 'table')
      readTable(reader, level - 1, format.tableAddress(word, level), page);
  }
  if (isMissing) reader.missing.push(base);
}
