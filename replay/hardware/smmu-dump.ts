/**
 * Reads a dump of an SMMUv3 (`smmu-MARKER.txt` of the shared traces): its registers, the commands queued
 * since the dump before, and for each device the stream table entry, context descriptor and every table entry
 * that is not zero, all read from physical memory.
 */

export interface DumpedCommand {
  readonly index: number;
  readonly words: readonly [bigint, bigint];
  readonly name: string;
}

export interface DumpedTableEntry {
  /** 1 is the last level; the dump counts as Arm does, from 0 down to 3. */
  readonly level: number;
  readonly index: number;
  /** First page (4096 bytes) that it translates. */
  readonly page: number;
  /** Address of the entry: physical, or a guest's (IPA). */
  readonly at: bigint;
  readonly word: bigint;
}

export interface DumpedStage {
  readonly stage: 1 | 2;
  readonly base: bigint;
  readonly inputBits: number;
  readonly startLevel: number;
  readonly rootEntries: number;
  readonly entries: readonly DumpedTableEntry[];
}

export interface DumpedContext {
  readonly substream: number;
  /** Guest's address of it; null for one of the kernel's own. */
  readonly ipa: bigint | null;
  /** Null where stage 2 does not translate its address. */
  readonly words: readonly bigint[] | null;
}

export interface DumpedStream {
  readonly streamId: number;
  readonly bdf: string;
  readonly entry: readonly bigint[];
  readonly contexts: readonly DumpedContext[];
  /** Entries of a guest's first-level descriptor table that are not zero. */
  readonly contextTables: readonly { readonly index: number; readonly word: bigint }[];
  readonly stages: readonly DumpedStage[];
}

export interface SmmuDump {
  /** IDR0..IDR5. */
  readonly registers: readonly number[];
  readonly commands: readonly DumpedCommand[];
  readonly streams: readonly DumpedStream[];
}

const REGISTERS = /^IDR0=0x[0-9a-f]+ IDR1=/;
const COMMAND = /^ cmd (\d+) (0x[0-9a-f]+) (0x[0-9a-f]+) (\S+)/;
const STREAM = /^== stream (0x[0-9a-f]+) (\S+)/;
const ENTRY = /^ ste at=\S+((?: 0x[0-9a-f]+){8})/;
const CONTEXT = /^ cd ssid=(\d+) (?:ipa=(0x[0-9a-f]+) ?)?(?:pa=\S+((?: 0x[0-9a-f]+){8}))?/;
const CONTEXT_TABLE = /^ l1 cd desc (\d+) raw=(0x[0-9a-f]+)/;
const STAGE = /^ stage([12]) ttb=(0x[0-9a-f]+) ias=(\d+) granule=\d+K start_level=(\d+) root_entries=(\d+)/;
const TABLE_ENTRY = /^ *L(\d)\[(\d+)\] iova=(0x[0-9a-f]+) at(?:_ipa)?=(0x[0-9a-f]+) raw=(0x[0-9a-f]+)/;

/** Arm's number of the last level. */
const LAST_LEVEL = 3;

/** Null when the text is no such dump. */
export function parseSmmuDump(text: string): SmmuDump | null {
  if (!REGISTERS.test(text)) return null;
  const lines = text.split('\n');
  const first = lines.findIndex((line) => STREAM.test(line));
  const head = first < 0 ? lines : lines.slice(0, first);
  return {
    registers: [0, 1, 2, 3, 4, 5].map((at) => registerOf(lines[0]!, at)),
    commands: head.flatMap((line) => commandIn(line) ?? []),
    streams: sections(lines).map(streamIn),
  };
}

function registerOf(line: string, at: number): number {
  return Number(new RegExp(`IDR${at}=(0x[0-9a-f]+)`).exec(line)?.[1] ?? 0);
}

function commandIn(line: string): DumpedCommand | null {
  const found = COMMAND.exec(line);
  if (found === null) return null;
  const [, index, first, second, name] = found as unknown as [string, string, string, string, string];
  return { index: Number(index), words: [BigInt(first), BigInt(second)], name };
}

/** Lines of each stream, beginning with its headline. */
function sections(lines: readonly string[]): string[][] {
  const found: string[][] = [];
  for (const line of lines) {
    if (STREAM.test(line)) found.push([line]);
    else found.at(-1)?.push(line);
  }
  return found;
}

function streamIn(lines: readonly string[]): DumpedStream {
  const [, streamId = '0', bdf = ''] = STREAM.exec(lines[0]!) ?? [];
  const stages: (Omit<DumpedStage, 'entries'> & { readonly entries: DumpedTableEntry[] })[] = [];
  const contexts: DumpedContext[] = [];
  const contextTables: { index: number; word: bigint }[] = [];
  let entry: readonly bigint[] = [];
  for (const line of lines) {
    const isTableEntry = TABLE_ENTRY.exec(line);
    if (isTableEntry !== null) stages.at(-1)?.entries.push(tableEntryOf(isTableEntry));
    else if (ENTRY.test(line)) entry = wordsOf(ENTRY.exec(line)![1]!);
    else if (CONTEXT.test(line)) contexts.push(contextOf(CONTEXT.exec(line)!));
    else if (STAGE.test(line)) stages.push(stageOf(STAGE.exec(line)!));
    const table = CONTEXT_TABLE.exec(line);
    if (table !== null) contextTables.push({ index: Number(table[1]), word: BigInt(table[2]!) });
  }
  return { streamId: Number(streamId), bdf, entry, contexts, contextTables, stages };
}

function wordsOf(text: string): bigint[] {
  return text.trim().split(' ').map(BigInt);
}

function contextOf([, substream, ipa, words]: RegExpExecArray): DumpedContext {
  return {
    substream: Number(substream),
    ipa: ipa === undefined ? null : BigInt(ipa),
    words: words === undefined ? null : wordsOf(words),
  };
}

function stageOf([, stage, base, inputBits, startLevel, rootEntries]: RegExpExecArray) {
  return {
    stage: stage === '1' ? (1 as const) : (2 as const),
    base: BigInt(base!),
    inputBits: Number(inputBits),
    startLevel: Number(startLevel),
    rootEntries: Number(rootEntries),
    entries: [],
  };
}

function tableEntryOf([, level, index, iova, at, raw]: RegExpExecArray): DumpedTableEntry {
  return {
    level: LAST_LEVEL + 1 - Number(level),
    index: Number(index),
    page: Number(BigInt(iova!) >> 12n),
    at: BigInt(at!),
    word: BigInt(raw!),
  };
}
