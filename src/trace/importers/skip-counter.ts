/** Names of skipped lines that are counted apart; what else a damaged log invents is counted together. */
const NAMES_MAX = 400;
const NAME_CHARS_MAX = 80;

/** Counts lines by a name, in memory that does not grow with the log. */
export interface SkipCounter {
  add(name: string): void;
  /** Names in ascending order. */
  counts(): Readonly<Record<string, number>>;
}

export function createSkipCounter(): SkipCounter {
  const counts = new Map<string, { lines: number }>();
  const slot = (name: string): { lines: number } => {
    const found = counts.get(name);
    if (found !== undefined) return found;
    const known = counts.size < NAMES_MAX && name.length <= NAME_CHARS_MAX ? name : 'lines of other kinds';
    const made = counts.get(known) ?? { lines: 0 };
    // A name that is a part of a large chunk of text would keep all of that text in memory.
    counts.set(Buffer.from(known).toString(), made);
    return made;
  };
  return {
    add(name) {
      slot(name).lines += 1;
    },
    counts() {
      const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
      return Object.fromEntries(sorted.map(([name, { lines }]) => [name, lines]));
    },
  };
}
