/**
 * For each page number the last `seq` put there: an open-addressing hash of two columns. It is asked about
 * what is gone (unmapped areas, refused maps), and put to on every unmap, so it allocates only when it grows.
 */
export interface PageSeqs {
  pages: Float64Array;
  seqs: Float64Array;
  count: number;
}

const EMPTY = -1;
const FIRST_SIZE = 16;

export function createPageSeqs(): PageSeqs {
  return { pages: new Float64Array(FIRST_SIZE).fill(EMPTY), seqs: new Float64Array(FIRST_SIZE), count: 0 };
}

/** Place of a page, or of the hole where it belongs. */
function placeOf(pages: Float64Array, page: number): number {
  const mask = pages.length - 1;
  // Both halves of the number count: a guest's buffers lie far apart.
  let at = (Math.imul((page | 0) ^ ((page / 0x100000000) | 0), 0x9e3779b1) >>> 7) & mask;
  while (pages[at] !== EMPTY && pages[at] !== page) at = (at + 1) & mask;
  return at;
}

export function putSeq(table: PageSeqs, page: number, seq: number): void {
  const at = placeOf(table.pages, page);
  table.seqs[at] = seq;
  if (table.pages[at] === page) return;
  table.pages[at] = page;
  table.count += 1;
  if (table.count * 2 > table.pages.length) grow(table);
}

/** The last `seq` put for a page; -1 when none was. */
export function findSeq({ pages, seqs }: PageSeqs, page: number): number {
  const at = placeOf(pages, page);
  return pages[at] === page ? seqs[at]! : -1;
}

function grow(table: PageSeqs): void {
  const { pages, seqs } = table;
  table.pages = new Float64Array(pages.length * 2).fill(EMPTY);
  table.seqs = new Float64Array(pages.length * 2);
  for (let from = 0; from < pages.length; from += 1) {
    if (pages[from] === EMPTY) continue;
    const at = placeOf(table.pages, pages[from]!);
    table.pages[at] = pages[from]!;
    table.seqs[at] = seqs[from]!;
  }
}
