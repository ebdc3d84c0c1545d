import type { Meaning, MeaningField } from './meaning.ts';
import { matchLists } from './shortest-edit.ts';
import type { Side } from './side.ts';

/** Two calls that stand for each other, or one that has no counterpart. */
export interface CallDifference {
  readonly a: Meaning | null;
  readonly b: Meaning | null;
  /** Calls that both made, and that say or are answered something else. */
  readonly fields: readonly FieldDifference[];
}

export interface FieldDifference {
  readonly name: string;
  readonly a: string;
  readonly b: string;
}

/** Which objects of the one trace are which of the other. */
export interface ObjectMatches {
  readonly toB: Map<number, number>;
  readonly toA: Map<number, number>;
  /** Objects of A that calls of both have used since: which they are is certain. */
  readonly certain: Set<number>;
}

export interface Aligned {
  readonly matches: ObjectMatches;
  /** Calls that say the same in both. */
  readonly equal: number;
}

/** Calls of each side that are looked at to find where both go on alike, at first and at most. */
const WINDOW_CALLS = 512;
const WINDOW_MOST = 8192;
/** So many equal calls in a row say that both go on alike. */
const RUN_CALLS = 8;
const MOST_EDITS = 3000;

/**
 * Goes through both sides, in memory that does not grow with their length, and tells each difference in
 * order. Calls are matched by what they say; objects, by the calls that made them.
 */
export function align(a: Side, b: Side, tell: (difference: CallDifference) => void): Aligned {
  const matches: ObjectMatches = { toB: new Map(), toA: new Map(), certain: new Set() };
  let equal = 0;
  const pair = (one: Meaning, other: Meaning): void => {
    matchUsed(one, other, a, b, matches);
    const fields = differingFields(one, other, matches);
    if (fields.length === 0) {
      equal += 1;
      for (const { object, name } of one.fields)
        if (object !== null && !name.startsWith('answer')) matches.certain.add(object);
    } else tell({ a: one, b: other, fields });
    matchMade(one, other, a, b, matches);
  };
  for (;;) {
    const [one, other] = [a.peek(0), b.peek(0)];
    if (one === null && other === null) return { matches, equal };
    if (one !== null && other !== null && one.shape === other.shape) matchUsed(one, other, a, b, matches);
    if (one !== null && other !== null && isEqual(one, other, matches)) {
      pair(a.take(1)[0]!, b.take(1)[0]!);
      continue;
    }
    const { takeA, takeB, pairs } = resynchronize(a, b, matches);
    const [callsA, callsB] = [a.take(takeA), b.take(takeB)];
    let [atA, atB] = [0, 0];
    for (const [nextA, nextB] of [...pairs, [takeA, takeB] as const]) {
      pairLeftOvers(callsA.slice(atA, nextA), callsB.slice(atB, nextB), pair, tell);
      if (nextA < takeA && nextB < takeB) pair(callsA[nextA]!, callsB[nextB]!);
      [atA, atB] = [nextA + 1, nextB + 1];
    }
  }
}

/** Where both sides go on alike, and which calls before that are the same. */
function resynchronize(a: Side, b: Side, matches: ObjectMatches) {
  for (let size = WINDOW_CALLS; ; size *= 4) {
    const [windowA, windowB] = [peekMany(a, size), peekMany(b, size)];
    const isAll = windowA.length < size && windowB.length < size;
    const [shapesA, shapesB] = intern(windowA, windowB, matches);
    const found = matchLists(shapesA, shapesB, MOST_EDITS);
    const whole = { takeA: windowA.length, takeB: windowB.length };
    if (isAll) return { ...whole, pairs: found ?? [] };
    const end = found === null ? -1 : endOfLastRun(found);
    if (found !== null && end >= 0) {
      const [lastA, lastB] = found[end]!;
      return { takeA: lastA + 1, takeB: lastB + 1, pairs: found.slice(0, end + 1) };
    }
    if (size >= WINDOW_MOST) return { ...whole, pairs: found ?? [] };
  }
}

function peekMany(side: Side, count: number): Meaning[] {
  const calls: Meaning[] = [];
  for (let distance = 0; distance < count; distance += 1) {
    const call = side.peek(distance);
    if (call === null) break;
    calls.push(call);
  }
  return calls;
}

/** Calls as numbers: the same for calls that say the same of the same objects, as far as these are known. */
function intern(
  a: readonly Meaning[],
  b: readonly Meaning[],
  { toA, certain }: ObjectMatches,
): readonly [Int32Array, Int32Array] {
  const numbers = new Map<string, number>();
  const number = ({ shape, fields }: Meaning, known: (object: number) => number | undefined): number => {
    let text = shape;
    // The number in A of each object that both have for certain.
    for (const { object } of fields) if (object !== null) text += ` ${known(object) ?? '?'}`;
    const found = numbers.get(text) ?? numbers.size;
    numbers.set(text, found);
    return found;
  };
  return [
    Int32Array.from(a, (call) => number(call, (object) => (certain.has(object) ? object : undefined))),
    Int32Array.from(b, (call) =>
      number(call, (object) => {
        const same = toA.get(object);
        return same !== undefined && certain.has(same) ? same : undefined;
      }),
    ),
  ];
}

/** Place of the end of the last row of matches without a gap that is long enough; -1 when there is none. */
function endOfLastRun(found: readonly (readonly [number, number])[]): number {
  let length = 0;
  for (let at = found.length - 1; at >= 0; at -= 1) {
    const [x, y] = found[at]!;
    const next = found[at + 1];
    const isNext = next !== undefined && next[0] === x + 1 && next[1] === y + 1;
    length = isNext ? length + 1 : 1;
    if (length >= RUN_CALLS) return at + RUN_CALLS - 1;
  }
  return -1;
}

/** Calls without an equal one: those of one name are the same call with something else in it, in order. */
function pairLeftOvers(
  a: readonly Meaning[],
  b: readonly Meaning[],
  pair: (one: Meaning, other: Meaning) => void,
  tell: (difference: CallDifference) => void,
): void {
  let next = 0;
  for (const one of a) {
    const at = b.findIndex((other, place) => place >= next && isSameKind(one, other));
    if (at < 0) {
      tell({ a: one, b: null, fields: [] });
      continue;
    }
    for (const other of b.slice(next, at)) tell({ a: null, b: other, fields: [] });
    pair(one, b[at]!);
    next = at + 1;
  }
  for (const other of b.slice(next)) tell({ a: null, b: other, fields: [] });
}

/** Calls of one name on descriptors of one kind, where at most half of what they say differs. */
function isSameKind(one: Meaning, other: Meaning): boolean {
  if (one.name !== other.name || one.kind !== other.kind) return false;
  const texts = new Map(other.fields.map(({ name, text }) => [name, text]));
  const same = one.fields.filter(({ name, text }) => texts.get(name) === text).length;
  return 2 * same >= Math.max(one.fields.length, other.fields.length);
}

function isEqual(one: Meaning, other: Meaning, matches: ObjectMatches): boolean {
  if (one.shape !== other.shape) return false;
  return one.fields.every((field, at) => isSame(field, other.fields[at]!, matches));
}

function differingFields(one: Meaning, other: Meaning, matches: ObjectMatches): FieldDifference[] {
  if (one.shape === other.shape && one.fields.every((field, at) => isSame(field, other.fields[at]!, matches)))
    return [];
  const rest = new Map(other.fields.map((field) => [field.name, field]));
  const found: FieldDifference[] = [];
  for (const field of one.fields) {
    const same = rest.get(field.name);
    rest.delete(field.name);
    if (same !== undefined && isSame(field, same, matches)) continue;
    found.push({ name: field.name, a: textOf(field), b: same === undefined ? 'nothing' : textOf(same) });
  }
  for (const field of rest.values()) found.push({ name: field.name, a: 'nothing', b: textOf(field) });
  return found;
}

function textOf({ text, label }: MeaningField): string {
  return label === null ? text : label;
}

/** What is made by the calls themselves is matched by them. */
function isSame(one: MeaningField, other: MeaningField, { toB, toA }: ObjectMatches): boolean {
  if (one.text !== other.text) return false;
  if (one.object === null || other.object === null) return one.object === other.object;
  const expected = toB.get(one.object);
  if (expected !== undefined) return expected === other.object;
  return one.name.startsWith('answer') && !toA.has(other.object);
}

/**
 * Several calls may be made alike, and their objects be used in turn: an object that nobody has used yet
 * may turn out to be another one than the order of the calls that made them suggests.
 */
function matchUsed(one: Meaning, other: Meaning, a: Side, b: Side, matches: ObjectMatches): void {
  const { toB, toA, certain } = matches;
  for (const [at, { object, name }] of one.fields.entries()) {
    const field = other.fields[at];
    if (object === null || field === undefined || field.object === null || field.name !== name) continue;
    const used = field.object;
    const expected = toB.get(object);
    if (name.startsWith('answer') || expected === used || certain.has(object)) continue;
    const holder = toA.get(used);
    if (holder !== undefined && certain.has(holder)) continue;
    if (typeOf(a, object) !== typeOf(b, used)) continue;
    if (expected !== undefined) toA.delete(expected);
    if (holder !== undefined) toB.delete(holder);
    toB.set(object, used);
    toA.set(used, object);
  }
}

function matchMade(one: Meaning, other: Meaning, a: Side, b: Side, { toB, toA }: ObjectMatches): void {
  const rest = [...other.made];
  for (const made of one.made) {
    const at = rest.findIndex((each) => typeOf(b, each) === typeOf(a, made));
    if (at < 0) continue;
    toB.set(made, rest[at]!);
    toA.set(rest[at]!, made);
    rest.splice(at, 1);
  }
}

/** Only by the place in the order of what a call makes: the objects may be gone again by now. */
function typeOf(side: Side, made: number): string {
  return side.types.get(made) ?? '';
}
