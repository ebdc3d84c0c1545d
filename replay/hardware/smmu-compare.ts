import type { Comparison } from './compare-dump.ts';
import type { HardwareView } from './domain.ts';
import type { PageTable, TableEntry } from './page-table.ts';
import { compareCommands } from './smmu-compare-queue.ts';
import {
  type DumpedContext,
  type DumpedStage,
  type DumpedStream,
  type DumpedTableEntry,
  parseSmmuDump,
  type SmmuDump,
} from './smmu-dump.ts';
import { type ExpectedStream, expectationOf, type SmmuExpectation } from './smmu-expectation.ts';
import { featuresOf } from './smmu-features.ts';
import type { GuestTables } from './smmu-guest-tables.ts';
import { compareWord, countUnknown, placeOf, type Tally } from './smmu-tally.ts';
import type { UnknownBits, Word } from './table-format.ts';

/** A dump of an SMMU against what the model says it holds: every word of every structure, bit by bit. */

/** Null when the text is no dump of an SMMU. Without a history, ids and commands are not compared. */
export function compareSmmuDump(view: HardwareView, text: string): Comparison | null {
  const dump = parseSmmuDump(text);
  return dump === null ? null : compareSmmu(dump, expectationOf(view, featuresOf(dump.registers)));
}

export function compareSmmu(dump: SmmuDump, expectation: SmmuExpectation): Comparison {
  const tally: Tally = {
    entries: 0,
    equal: 0,
    tables: 0,
    deviceEntries: 0,
    unknown: new Map(),
    undetermined: [],
    differences: [],
  };
  for (const stream of dump.streams) {
    const expected = expectation.stream(stream.bdf);
    if (expected === null) tally.undetermined.push({ bdf: stream.bdf, pasid: 0 });
    else compareStream(tally, stream, expected);
  }
  if (expectation.commands !== null)
    compareCommands(tally, dump.commands, expectation.commands, expectation.mayFollowOthers);
  return {
    entries: tally.entries,
    equal: tally.equal,
    different: tally.differences.length,
    unknownBits: Object.fromEntries([...tally.unknown].sort(([a], [b]) => (a < b ? -1 : 1))),
    // Tables of an SMMU are made in the driver's terms, which have no user memory.
    unknownPages: [],
    tables: tally.tables,
    deviceEntries: tally.deviceEntries,
    undetermined: tally.undetermined,
    differences: tally.differences,
  };
}

function compareStream(tally: Tally, stream: DumpedStream, expected: ExpectedStream): void {
  tally.deviceEntries += 1;
  for (const [at, theirs] of stream.entry.entries())
    compareWord(tally, placeOf(stream, `STE word ${at}`), expected.entry[at] ?? null, theirs);
  const own = stream.contexts.find(({ substream, ipa }) => substream === 0 && ipa === null);
  if (expected.context !== null || own !== undefined)
    compareContext(tally, stream, expected.context, own ?? null);
  if (expected.guest !== null) compareGuest(tally, stream, expected.guest);
  const stages = stream.stages;
  if (expected.stage1 !== null)
    compareTable(
      tally,
      stream,
      expected.stage1,
      stages.find(({ stage }) => stage === 1),
    );
  if (expected.stage2 !== null)
    compareTable(
      tally,
      stream,
      expected.stage2,
      stages.find(({ stage }) => stage === 2),
    );
}

function compareContext(
  tally: Tally,
  stream: DumpedStream,
  ours: readonly Word[] | null,
  theirs: DumpedContext | null,
): void {
  tally.deviceEntries += 1;
  const count = ours?.length ?? theirs?.words?.length ?? 0;
  for (let at = 0; at < count; at += 1)
    compareWord(tally, placeOf(stream, `CD word ${at}`), ours?.[at] ?? null, theirs?.words?.[at] ?? null);
}

function compareTable(
  tally: Tally,
  stream: DumpedStream,
  ours: PageTable,
  theirs: DumpedStage | undefined,
): void {
  const name = `stage ${ours.format.name.startsWith('smmu-s1') ? 1 : 2}`;
  if (theirs === undefined) {
    tally.entries += 1;
    const place = placeOf(stream, `${name}: the dump has no such table`);
    tally.differences.push({ ...place, pasid: 0, what: 'table', ours: null, theirs: null, bits: 0n });
    return;
  }
  tally.tables += 1;
  const { format } = ours;
  const start = BigInt(4 - format.levels);
  const place = placeOf(stream, `${name}: start level`);
  compareWord(tally, place, { value: start, unknown: [] }, BigInt(theirs.startLevel));
  const entries = 2n ** BigInt(format.indexBits(format.levels));
  const root = placeOf(stream, `${name}: entries of the first table`);
  compareWord(tally, root, { value: entries, unknown: [] }, BigInt(theirs.rootEntries));
  compareEntries(tally, stream, name, ours.entries(0, Number.MAX_SAFE_INTEGER), theirs.entries);
}

/** An entry of ours or the dump's; both come in the order of a walk. */
type Entry = Pick<TableEntry, 'level' | 'page' | 'index'>;

function isBefore(a: Entry, b: Entry): boolean {
  return a.page < b.page || (a.page === b.page && a.level > b.level);
}

function compareEntries(
  tally: Tally,
  stream: DumpedStream,
  name: string,
  ours: Iterable<Entry & { readonly word: Word }>,
  theirs: readonly (Entry & { readonly word: bigint })[],
): void {
  let at = 0;
  const extra = (): void => {
    const { level, page, word } = theirs[at]!;
    compareWord(tally, placeOf(stream, name, level, page), null, word);
    at += 1;
  };
  for (const entry of ours) {
    while (at < theirs.length && isBefore(theirs[at]!, entry)) extra();
    const place = placeOf(stream, name, entry.level, entry.page);
    const other = theirs[at];
    if (other === undefined || isBefore(entry, other)) {
      compareWord(tally, place, entry.word, null);
      continue;
    }
    at += 1;
    if (other.index !== entry.index)
      compareWord(
        tally,
        { ...place, why: `${name}: index` },
        { value: BigInt(entry.index), unknown: [] },
        BigInt(other.index),
      );
    compareWord(tally, place, entry.word, other.word);
  }
  while (at < theirs.length) extra();
}

const NOT_RECORDED: UnknownBits = { mask: (1n << 64n) - 1n, holds: 'guest memory that was not recorded' };
const CHANGED: UnknownBits = { ...NOT_RECORDED, holds: 'guest memory that changed after it was recorded' };

/** The guest's descriptor and stage 1, from the memory that the trace recorded. */
function compareGuest(tally: Tally, stream: DumpedStream, guest: GuestTables): void {
  const theirs = stream.contexts.find(({ substream, ipa }) => substream === 0 && ipa !== null);
  if (stream.contextTables.length > 0) return;
  if (guest.context === 'unmapped') {
    const ours: Word = { value: 0n, unknown: [] };
    const place = placeOf(stream, 'guest CD: translated by stage 2');
    compareWord(tally, place, ours, theirs?.words == null ? 0n : 1n);
    return;
  }
  const stage = stream.stages.find((each) => each.stage === 1);
  // A guest that announced a change need not have had it recorded: then a difference says nothing of us.
  if (guest.mayHaveChanged && !sameGuest(guest, theirs?.words ?? null, stage?.entries ?? [])) {
    for (const [at] of guest.context.entries()) {
      const place = placeOf(stream, `guest CD word ${at}`);
      compareWord(tally, place, { value: 0n, unknown: [CHANGED] }, theirs?.words?.[at] ?? 0n);
    }
    return;
  }
  for (const [at, ours] of guest.context.entries()) {
    const word: Word = ours === null ? { value: 0n, unknown: [NOT_RECORDED] } : { value: ours, unknown: [] };
    compareWord(tally, placeOf(stream, `guest CD word ${at}`), word, theirs?.words?.[at] ?? null);
  }
  if (guest.missing.length > 0) {
    countUnknown(tally, { ...NOT_RECORDED, mask: (1n << BigInt(guest.missing.length)) - 1n });
    return;
  }
  const ours = guest.entries.map((entry) => ({ ...entry, word: { value: entry.word, unknown: [] } }));
  compareEntries(tally, stream, 'guest stage 1', ours, stage?.entries ?? []);
}

function sameGuest(
  { context, entries }: GuestTables,
  words: readonly bigint[] | null,
  theirs: readonly DumpedTableEntry[],
): boolean {
  return (
    context !== 'unmapped' &&
    context.every((word, at) => word === null || word === words?.[at]) &&
    entries.length === theirs.length &&
    entries.every(({ at, word }, place) => at === theirs[place]!.at && word === theirs[place]!.word)
  );
}
