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
}

/** Who mapped what, for every IOAS. */
export interface AreaBook {
  mapped(call: LintCall, context: number, ioas: number, space: IovaSpace, slot: number): void;
  unmapped(call: LintCall, context: number, ioas: number, space: IovaSpace, slot: number): void;
  of(space: IovaSpace): SpaceBook | undefined;
  /** The book of an IOAS, begun when nothing was mapped there yet. */
  open(context: number, ioas: number, space: IovaSpace): SpaceBook;
}

export function createAreaBook(): AreaBook {
  const books = new WeakMap<IovaSpace, SpaceBook>();
  // Nearly every call is about the same IOAS as the one before.
  let last: SpaceBook | null = null;
  const bookOf = (context: number, ioas: number, space: IovaSpace): SpaceBook => {
    if (last !== null && last.space === space) return last;
    let book = books.get(space);
    if (book === undefined) {
      const seq = new Float64Array(16);
      book = { space, context, ioas, seq, gone: createPageSeqs(), refused: createPageSeqs() };
      books.set(space, book);
    }
    last = book;
    return book;
  };
  return {
    mapped(call, context, ioas, space, slot) {
      const book = bookOf(context, ioas, space);
      if (slot >= book.seq.length) grow(book, space.areas.startPage.length);
      book.seq[slot] = call.seq;
      call.mapped += 1;
    },
    unmapped(call, context, ioas, space, slot) {
      putSeq(bookOf(context, ioas, space).gone, space.areas.startPage[slot]!, call.seq);
      call.unmapped += 1;
    },
    of: (space) => books.get(space),
    open: bookOf,
  };
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
