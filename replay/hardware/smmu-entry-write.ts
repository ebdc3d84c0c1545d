import { bits } from './smmu-words.ts';

/**
 * How arm-smmu-v3.c changes a stream table entry or a context descriptor that the hardware may be reading:
 * arm_smmu_write_entry. Each step that changes a word is followed by an invalidation, so the number of steps
 * is the number of commands.
 */

/** Eight words as they are in memory, or a stand-in for what the kernel chose (addresses, ids). */
export type EntryWords = readonly bigint[];

export interface EntryKind {
  /** Bits that the hardware looks at, given what the entry holds. */
  used(words: EntryWords): bigint[];
  /** Bits that may change at any time. */
  safe(current: EntryWords, target: EntryWords): bigint[];
}

const NOTHING: EntryWords = Array.from({ length: 8 }, () => 0n);
const ALL = (1n << 64n) - 1n;
const words = (...first: bigint[]): bigint[] => NOTHING.map((zero, at) => first[at] ?? zero);

/** Number of invalidations that turning `current` into `target` takes. */
export function countWrites(kind: EntryKind, current: EntryWords, target: EntryWords): number {
  const currentUsed = kind.used(current);
  const targetUsed = kind.used(target);
  const safe = kind.safe(current, target).map((mask, at) => mask & currentUsed[at]! & targetUsed[at]!);
  const keep = currentUsed.map((mask, at) => mask & ~safe[at]!);
  const step = current.map((word, at) => (word & keep[at]!) | (target[at]! & ~keep[at]! & ALL));
  const critical = step.flatMap((word, at) => ((word & targetUsed[at]!) === target[at] ? [] : [at]));
  return countChanges([current, ...stepsBetween(current, step, target, critical)]);
}

/** What the entry holds after each step. */
function stepsBetween(
  current: EntryWords,
  step: EntryWords,
  target: EntryWords,
  critical: readonly number[],
): EntryWords[] {
  const [only] = critical;
  if (only === undefined) return [target];
  // With V off nothing is looked at, so that all the others can change.
  if (critical.length > 1) return [current.with(0, 0n), target.with(0, 0n), target];
  // One word decides: what is not looked at before, then that word, then what is not looked at any more.
  const prepared = step.with(only, current[only]!);
  return [prepared, prepared.with(only, target[only]!), target];
}

function countChanges(states: readonly EntryWords[]): number {
  const changed = states.filter(
    (state, at) => at > 0 && state.some((word, index) => word !== states[at - 1]![index]),
  );
  return changed.length;
}

const VALID = 1n;
const CONTEXT_VALID = bits(31, 31);
const EATS = bits(29, 28);
const SHCFG = bits(45, 44);
const MEV = bits(19, 19);
const CHECKS_STAGE_1 = bits(29, 29);
const EATS_ON = bits(28, 28);
const STALLS_STAGE_2 = bits(57, 57);

/** arm_smmu_get_ste_used, arm_smmu_get_ste_update_safe. */
export const STREAM_ENTRY: EntryKind = {
  used(entry) {
    const [first = 0n, second = 0n] = entry;
    if ((first & VALID) === 0n) return words(VALID);
    const config = Number((first >> 1n) & 7n);
    const used = words(VALID | bits(3, 1));
    if ((config & 1) !== 0) {
      used[0]! |= bits(5, 4) | bits(51, 6) | bits(63, 59);
      used[1]! |= bits(7, 0) | bits(27, 27) | bits(31, 30) | EATS | MEV;
      used[2]! |= bits(15, 0);
      if ((second & 3n) === 1n) used[1]! |= SHCFG;
    }
    if ((config & 2) !== 0) {
      used[1]! |= bits(25, 25) | EATS | SHCFG | MEV;
      used[2]! |= bits(15, 0) | bits(52, 32) | bits(54, 54) | bits(58, 57);
      used[3]! |= bits(51, 4);
    }
    if (config === 4) used[1]! |= SHCFG;
    return used;
  },
  safe([, a1 = 0n, a2 = 0n], [, b1 = 0n, b2 = 0n]) {
    const isOrdered = ((a1 | b1) & CHECKS_STAGE_1) !== 0n || ((a2 | b2) & STALLS_STAGE_2) !== 0n;
    return words(0n, MEV | (isOrdered ? 0n : EATS_ON));
  },
};

/** arm_smmu_get_cd_used. The kernel's own descriptors never switch off their only table. */
export const CONTEXT_ENTRY: EntryKind = {
  used: ([first = 0n]) => ((first & CONTEXT_VALID) === 0n ? words(CONTEXT_VALID) : NOTHING.map(() => ALL)),
  safe: () => words(),
};
