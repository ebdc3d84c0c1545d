import { UNKNOWN_FRAME } from './table-format.ts';

/**
 * What notes told of physical frames, in their order: columns of physically contiguous runs, so that a note
 * costs a few numbers. Who asks for the frame of a page makes the index of the entries that came since.
 */
export interface FrameLog {
  count: number;
  object: Float64Array;
  /** First page of the object, and how many. */
  page: Float64Array;
  pages: Float64Array;
  /** Frame of the first page. */
  frame: Float64Array;
  /** Entries that `index` has. */
  indexed: number;
  readonly index: Map<number, ObjectIndex>;
}

/** The entries of one object. */
interface ObjectIndex {
  /** Of at most CHUNK pages: by chunk, then by page in it. Ascending. */
  readonly chunks: Map<number, Chunk>;
  /** Of more pages, ascending. */
  readonly long: number[];
}

/** One entry is kept as it is: most pages are told of once. */
type Chunk = (number | number[] | undefined)[];

const CHUNK = 512;

export function createFrameLog(): FrameLog {
  return {
    count: 0,
    object: new Float64Array(64),
    page: new Float64Array(64),
    pages: new Float64Array(64),
    frame: new Float64Array(64),
    indexed: 0,
    index: new Map(),
  };
}

export function addFrames(log: FrameLog, object: number, page: number, pages: number, frame: number): void {
  if (log.count === log.page.length) grow(log);
  const at = log.count;
  log.object[at] = object;
  log.page[at] = page;
  log.pages[at] = pages;
  log.frame[at] = frame;
  log.count = at + 1;
}

function grow(log: FrameLog): void {
  for (const name of ['object', 'page', 'pages', 'frame'] as const) {
    const wider = new Float64Array(log.count * 2);
    wider.set(log[name]);
    log[name] = wider;
  }
}

/**
 * Frame of a page as the first entry of from..until-1 tells it, else the last one before; UNKNOWN_FRAME where
 * none does.
 */
export function frameBetween(
  log: FrameLog,
  object: number,
  page: number,
  from: number,
  until: number,
): number {
  const index = indexOf(log, object);
  if (index === undefined) return UNKNOWN_FRAME;
  const own = index.chunks.get(Math.floor(page / CHUNK))?.[page % CHUNK];
  let at = own === undefined ? NONE : typeof own === 'number' ? own : bestOf(own, from, until);
  if (at >= until) at = NONE;
  for (const entry of index.long) {
    if (entry >= until) break;
    if (page < log.page[entry]! || page >= log.page[entry]! + log.pages[entry]!) continue;
    if (isBetter(entry, at, from)) at = entry;
  }
  return at === NONE ? UNKNOWN_FRAME : log.frame[at]! + page - log.page[at]!;
}

const NONE = -1;

/** Both are before `until`. */
function isBetter(entry: number, than: number, from: number): boolean {
  if (than < from) return entry > than;
  return entry >= from && entry < than;
}

/** The first entry of from..until-1, else the last before. */
function bestOf(entries: readonly number[], from: number, until: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]! >= from) high = middle;
    else low = middle + 1;
  }
  const next = entries[low];
  if (next !== undefined && next < until) return next;
  return low > 0 ? entries[low - 1]! : NONE;
}

/** Ranges of pages (from `page` on, ends exclusive) outside of which no entry tells anything. */
export function toldRanges(log: FrameLog, object: number, page: number, count: number): [number, number][] {
  const index = indexOf(log, object);
  if (index === undefined) return [];
  const ranges: [number, number][] = [];
  const add = (first: number, end: number): void => {
    const from = Math.max(first, page) - page;
    const to = Math.min(end, page + count) - page;
    if (from < to) ranges.push([from, to]);
  };
  const low = Math.floor(page / CHUNK);
  const high = Math.floor((page + count - 1) / CHUNK);
  const { chunks, long } = index;
  if (high - low < chunks.size) {
    for (let chunk = low; chunk <= high; chunk += 1)
      if (chunks.has(chunk)) add(chunk * CHUNK, (chunk + 1) * CHUNK);
  } else for (const chunk of chunks.keys()) add(chunk * CHUNK, (chunk + 1) * CHUNK);
  for (const entry of long) add(log.page[entry]!, log.page[entry]! + log.pages[entry]!);
  return ranges;
}

function indexOf(log: FrameLog, object: number): ObjectIndex | undefined {
  for (; log.indexed < log.count; log.indexed += 1) addToIndex(log, log.indexed);
  return log.index.get(object);
}

function addToIndex({ index, object, page, pages }: FrameLog, entry: number): void {
  let own = index.get(object[entry]!);
  if (own === undefined) {
    own = { chunks: new Map(), long: [] };
    index.set(object[entry]!, own);
  }
  if (pages[entry]! > CHUNK) {
    own.long.push(entry);
    return;
  }
  const end = page[entry]! + pages[entry]!;
  for (let each = page[entry]!; each < end; each += 1) addToPage(own, each, entry);
}

function addToPage({ chunks }: ObjectIndex, page: number, entry: number): void {
  const place = page % CHUNK;
  let chunk = chunks.get((page - place) / CHUNK);
  if (chunk === undefined) {
    chunk = new Array<undefined>(CHUNK).fill(undefined);
    chunks.set((page - place) / CHUNK, chunk);
  }
  const known = chunk[place];
  if (known === undefined) chunk[place] = entry;
  else if (typeof known === 'number') chunk[place] = [known, entry];
  else known.push(entry);
}
