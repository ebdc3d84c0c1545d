import type { IovaSpace } from '../../model/index.ts';
import type { ChainLink } from './finding.ts';
import type { LintCall } from './lint-call.ts';
import { createPageSeqs, type PageSeqs, putSeq } from './page-seqs.ts';
import { areaSpan } from './text.ts';

/** What is remembered of the areas of one IOAS: columns by slot, as the areas themselves. */
export interface SpaceBook {
  readonly space: IovaSpace;
  readonly context: number;
  /** 0 for a classic type1 container, which `context` then is the key of. */
  readonly ioas: number;
  /** Call that mapped the area in a slot. */
  seq: Float64Array;
  /** Last call that unmapped an area which began at that page. */
  readonly gone: PageSeqs;
  /** Last call that was refused a map beginning at that page. */
  readonly refused: PageSeqs;
  /** Last call that mapped anything. */
  lastSeq: number;
  /** First pages of the areas that went last, and the calls that took them: a ring. */
  readonly lately: { readonly pages: Float64Array; readonly seqs: Float64Array; next: number };
}

/** Told of a map of what was unmapped shortly before, and of an unmap of what was mapped shortly before. */
export type NearListener = (
  causeSeq: number,
  space: IovaSpace,
  slot: number,
  cause: 'mapped' | 'unmapped',
) => void;

/** Records that are shortly before another one. */
const NEAR_RECORDS = 64;
const LATELY = 8;

/** Who mapped what, for every IOAS. */
export interface AreaBook {
  mapped(call: LintCall, context: number, ioas: number, space: IovaSpace, slot: number): void;
  unmapped(call: LintCall, context: number, ioas: number, space: IovaSpace, slot: number): void;
  of(space: IovaSpace): SpaceBook | undefined;
  /** Last call that mapped anything in a context; -1 when none did. */
  lastMapped(context: number): number;
  onNear(listener: NearListener): void;
  /** The book of an IOAS, begun when nothing was mapped there yet. */
  open(context: number, ioas: number, space: IovaSpace): SpaceBook;
}

export function createAreaBook(): AreaBook {
  const books = new WeakMap<IovaSpace, SpaceBook>();
  // Nearly every call is about the same IOAS as the one before.
  let last: SpaceBook | null = null;
  const byContext = new Map<number, SpaceBook[]>();
  const near: NearListener[] = [];
  const bookOf = (context: number, ioas: number, space: IovaSpace): SpaceBook => {
    if (last !== null && last.space === space) return last;
    let book = books.get(space);
    if (book === undefined) {
      const seq = new Float64Array(16);
      const lately = { pages: new Float64Array(LATELY), seqs: new Float64Array(LATELY).fill(-1), next: 0 };
      const [gone, refused] = [createPageSeqs(), createPageSeqs()];
      book = { space, context, ioas, seq, gone, refused, lastSeq: -1, lately };
      books.set(space, book);
      const own = byContext.get(context);
      if (own === undefined) byContext.set(context, [book]);
      else own.push(book);
    }
    last = book;
    return book;
  };
  return {
    mapped(call, context, ioas, space, slot) {
      const book = bookOf(context, ioas, space);
      if (slot >= book.seq.length) grow(book, space.areas.startPage.length);
      book.seq[slot] = call.seq;
      book.lastSeq = call.seq;
      call.mapped += 1;
      const goneAt = near.length === 0 ? -1 : findLately(book, space.areas.startPage[slot]!);
      if (goneAt >= 0) tellNear(near, call, goneAt, space, slot, 'unmapped');
    },
    unmapped(call, context, ioas, space, slot) {
      const book = bookOf(context, ioas, space);
      const page = space.areas.startPage[slot]!;
      putSeq(book.gone, page, call.seq);
      call.unmapped += 1;
      if (near.length === 0) return;
      noteLately(book, page, call.seq);
      const mappedAt = book.seq[slot];
      if (mappedAt !== undefined) tellNear(near, call, mappedAt, space, slot, 'mapped');
    },
    of: (space) => books.get(space),
    lastMapped: (context) => Math.max(-1, ...(byContext.get(context) ?? []).map(({ lastSeq }) => lastSeq)),
    onNear: (listener) => void near.push(listener),
    open: bookOf,
  };
}

function noteLately({ lately }: SpaceBook, page: number, seq: number): void {
  lately.pages[lately.next] = page;
  lately.seqs[lately.next] = seq;
  lately.next = (lately.next + 1) % LATELY;
}

/** The call that took an area which began at that page, among the last few; -1 for none. */
function findLately({ lately }: SpaceBook, page: number): number {
  for (let at = 0; at < LATELY; at += 1) if (lately.pages[at] === page) return lately.seqs[at]!;
  return -1;
}

function tellNear(
  near: readonly NearListener[],
  { seq, isOver }: LintCall,
  causeSeq: number,
  space: IovaSpace,
  slot: number,
  cause: 'mapped' | 'unmapped',
): void {
  if (isOver || causeSeq === seq || seq - causeSeq > NEAR_RECORDS) return;
  for (const listener of near) listener(causeSeq, space, slot, cause);
}

function grow(book: SpaceBook, capacity: number): void {
  const { seq } = book;
  book.seq = new Float64Array(capacity);
  book.seq.set(seq);
}

/** The call that mapped an area; none when it was mapped before the recording. */
export function mappedLinks(book: SpaceBook | undefined, slot: number): ChainLink[] {
  if (book === undefined) return [];
  const seq = book.seq[slot];
  if (seq === undefined) return [];
  return [{ seq, role: 'mapped', says: `maps ${areaSpan(book.space, slot)}` }];
}
