import type { DumpedCommand } from './smmu-dump.ts';
import type { ExpectedCommand } from './smmu-expectation.ts';
import { compareWord, countUnknown, placeOf, type Tally } from './smmu-tally.ts';
import { maskOf } from './smmu-words.ts';
import type { UnknownBits } from './table-format.ts';

/** The command queue of a dump against the commands that the driver should have put there. */

/** Commands in order. Of the first dump of a trace, the last ones. */
export function compareCommands(
  tally: Tally,
  dumped: readonly DumpedCommand[],
  expected: readonly ExpectedCommand[],
  mayFollowOthers: boolean,
): void {
  const ours = withoutAbsent(tally, expected, dumped, mayFollowOthers);
  const theirs = mayFollowOthers ? dumped.slice(Math.max(0, dumped.length - ours.length)) : dumped;
  const count = Math.max(ours.length, theirs.length);
  for (let at = 0; at < count; at += 1) {
    const [our, their] = [ours[at], theirs[at]];
    const name = `command ${their?.index ?? at} ${their?.name ?? our?.name}`;
    for (const word of [0, 1] as const) {
      const place = placeOf({ bdf: 'command queue' }, `${name} word ${word}`);
      compareWord(tally, place, our?.words[word] ?? null, their?.words[word] ?? null);
    }
  }
}

const REUSED: UnknownBits = { mask: 1n, holds: 'commands that depend on table addresses' };

/**
 * Takes out commands that may be and are not there. From the end, because the first dump of a trace may begin
 * with commands of before.
 */
function withoutAbsent(
  tally: Tally,
  expected: readonly ExpectedCommand[],
  dumped: readonly DumpedCommand[],
  mayFollowOthers: boolean,
): ExpectedCommand[] {
  if (expected.every(({ isSure }) => isSure)) return [...expected];
  const kept: ExpectedCommand[] = [];
  let from = expected.length - 1;
  let at = dumped.length - 1;
  let absent = expected.length - dumped.length;
  while (from >= 0) {
    const last = expected[from]!;
    const before = expected[from - 1];
    // Commands of this kind come in pairs with their SYNC.
    const isPair = !last.isSure && before !== undefined;
    const isThere = !isPair || sameCommand(before, dumped[at - 1]);
    if (isPair && !isThere && (mayFollowOthers || absent > 0)) {
      countUnknown(tally, REUSED);
      absent -= 2;
    } else {
      kept.push(last);
      if (isPair) kept.push(before);
      at -= isPair ? 2 : 1;
    }
    from -= isPair ? 2 : 1;
  }
  return kept.reverse();
}

function sameCommand({ words }: ExpectedCommand, dumped: DumpedCommand | undefined): boolean {
  return (
    dumped !== undefined &&
    words.every(({ value, unknown }, at) => ((value ^ dumped.words[at]!) & ~maskOf(unknown)) === 0n)
  );
}
