import { everyTrace, type TraceName } from './every-call.ts';

/** All recorded traces, by folder: rows of a table of tests. */
export function tracesByFolder(): [string, TraceName[]][] {
  const all = everyTrace();
  return [...new Set(all.map(({ folder }) => folder))].map((name) => [
    name,
    all.filter(({ folder }) => folder === name),
  ]);
}

/** A number that a name gives, to spread what is looked at. */
export function seedOf(name: string): number {
  let seed = 0;
  for (const letter of name) seed = (seed * 31 + letter.charCodeAt(0)) % 65_521;
  return seed;
}
