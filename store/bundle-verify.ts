import {
  BUNDLE_FORMAT,
  type BundleEnd,
  type BundleHead,
  type BundleLink,
  rowOfJson,
} from './bundle-format.ts';
import {
  type ChainEnd,
  createRowHasher,
  firstHash,
  hashChecks,
  hashLink,
  LINK_CALLS,
  type LinkBody,
  LOG_VERSION,
} from './chain.ts';
import { SEQ } from './row.ts';
import { firstDifference } from './verify.ts';

/** What checking a bundle found: nothing wrong, or the first place that is. */
export type BundleVerification =
  | {
      readonly ok: true;
      readonly trace: string;
      readonly from: number;
      readonly to: number;
      /** Calls from first to last. */
      readonly calls: number;
      /** Calls of the whole trace. */
      readonly traceCalls: number;
      readonly chainHead: string;
    }
  /** `seq` of the call that was changed; null when no single one can be told. */
  | { readonly ok: false; readonly line: number; readonly seq: number | null; readonly what: string };

/** Checks the lines of a bundle one after another. */
export interface BundleVerifier {
  /** Takes the next line; answers what is wrong, once something is. */
  add(line: string): (BundleVerification & { readonly ok: false }) | null;
  /** All lines were taken. */
  end(): BundleVerification;
}

const HASH_BYTES = 32;

/** A row as it stands in the bundle. */
interface Place {
  readonly line: number;
  readonly seq: number;
}

/** What is known so far. */
interface Progress {
  readonly head: BundleHead;
  before: Buffer;
  links: number;
  firstSeq: number | null;
  lastSeq: number | null;
  calls: number;
  /** Links with rows follow each other: 0 before, 1 among, 2 after them. */
  phase: 0 | 1 | 2;
  end: ChainEnd | null;
  chainHead: string | null;
}

/** Anything that may be on a line. */
type Line = Partial<BundleHead & Omit<BundleLink, 'rows'> & BundleEnd> & {
  readonly row?: unknown;
  readonly rows?: string;
};

/** Says whether a text begins as a bundle does. */
export function isBundle(text: string): boolean {
  return text.startsWith(`{"bundle":"${BUNDLE_FORMAT}"`);
}

/** Begins to check a bundle. Memory is that of one link. */
export function createBundleVerifier(): BundleVerifier {
  const hasher = createRowHasher();
  hasher.start(null);
  let progress: Progress | null = null;
  let places: Place[] = [];
  let failure: (BundleVerification & { readonly ok: false }) | null = null;
  let lineNumber = 0;

  const fail = (what: string, place: Partial<Place> = {}) => {
    failure = { ok: false, line: place.line ?? lineNumber, seq: place.seq ?? null, what };
    return failure;
  };

  const addRow = (values: unknown, known: Progress) => {
    let row: ReturnType<typeof rowOfJson>;
    try {
      row = rowOfJson(values);
    } catch {
      return fail('the line holds no call');
    }
    if (places.length === LINK_CALLS) return fail('there are more calls than a link has');
    const seq = Number(row[SEQ]);
    hasher.add(row);
    places.push({ line: lineNumber, seq });
    if (seq < known.head.from || seq > known.head.to) return null;
    known.firstSeq ??= seq;
    known.lastSeq = seq;
    known.calls += 1;
    return null;
  };

  /** The hashes of a link: of its rows when they are here, else those that stand for them. */
  const bodyOf = (line: Line): { rows: Buffer; checksHash: Buffer; body: LinkBody | null } => {
    if (places.length === 0 && line.row_checks === undefined) {
      return { rows: bytesOf(line.rows), checksHash: bytesOf(line.checks), body: null };
    }
    const body = hasher.finish(null);
    hasher.start(null);
    return { rows: body.rows, checksHash: hashChecks(body.checks), body };
  };

  const addLink = (line: Line, known: Progress) => {
    const { rows, checksHash, body } = bodyOf(line);
    if (rows.length !== HASH_BYTES || checksHash.length !== HASH_BYTES)
      return fail('the line holds no hashes');
    const held = places;
    places = [];
    if (body !== null) {
      if (known.phase === 2) return fail('links with calls do not follow each other');
      known.phase = 1;
      const changed = firstDifference(body.checks, Buffer.from(line.row_checks ?? '', 'base64'));
      const place = changed === null ? undefined : held[changed];
      if (place !== undefined) return fail('the call is not the one that was exported there', place);
      if (changed !== null) return fail('calls that came before this line are missing');
    } else if (known.phase === 1) known.phase = 2;
    const end =
      line.end === undefined ? null : { callCount: line.end.calls, skipped: String(line.end.skipped) };
    const hash = hashLink(known.before, rows, checksHash, end);
    if (line.link !== known.links || hash.toString('hex') !== line.hash)
      return fail(`the hash of link ${known.links} is not the one that was exported`);
    known.before = hash;
    known.links += 1;
    known.end = end;
    return null;
  };

  const addFirst = (line: Line) => {
    if (line.bundle !== BUNDLE_FORMAT) return fail('the file is no bundle of ioasis audit export');
    const head = line as BundleHead;
    const before = firstHash(head.header, LOG_VERSION);
    const counts = { links: 0, firstSeq: null, lastSeq: null, calls: 0 };
    progress = { head, before, ...counts, phase: 0, end: null, chainHead: null };
    return null;
  };

  return {
    add(text) {
      if (failure !== null) return failure;
      lineNumber += 1;
      let line: Line;
      try {
        line = JSON.parse(text) as Line;
      } catch {
        return fail('the line is no JSON');
      }
      if (!isAsWritten(text, line)) return fail('the line is not as an export writes it');
      if (progress === null) return addFirst(line);
      if (progress.chainHead !== null) return fail('there is more after the end');
      if (line.row !== undefined) return addRow(line.row, progress);
      if (line.link !== undefined) return addLink(line, progress);
      if (line.head !== progress.before.toString('hex'))
        return fail('the newest hash is not the last of the chain');
      progress.chainHead = line.head;
      return null;
    },
    end() {
      if (failure !== null) return failure;
      return progress === null ? fail('the file is empty') : (findGap(progress, fail) ?? resultOf(progress));
    },
  };
}

/** What no hash covers, because JSON can say one thing in several ways, or say more than is asked. */
function isAsWritten(text: string, line: Line): boolean {
  if (line === null || typeof line !== 'object' || JSON.stringify(line) !== text) return false;
  const keys = Object.keys(line);
  return LINE_KEYS.some((known) => keys.every((key) => known.has(key)));
}

const LINE_KEYS: readonly ReadonlySet<string>[] = [
  new Set(['row']),
  new Set(['link', 'rows', 'checks', 'row_checks', 'hash', 'end']),
  new Set(['bundle', 'trace', 'header', 'from', 'to']),
  new Set(['head']),
];

type Fail = (what: string) => BundleVerification & { readonly ok: false };

/** What the single lines do not tell. */
function findGap(progress: Progress, fail: Fail): ReturnType<Fail> | null {
  const { chainHead, end, links, head, firstSeq, lastSeq } = progress;
  if (chainHead === null || end === null) return fail('the end of the bundle is missing');
  if (links !== Math.floor(end.callCount / LINK_CALLS) + 1)
    return fail(`the chain has ${links} links, which is not what ${end.callCount} calls make`);
  if (firstSeq !== head.from || lastSeq !== head.to)
    return fail(`the calls ${head.from} to ${head.to} that the first line speaks of are not all there`);
  return null;
}

function resultOf({ head, calls, end, chainHead }: Progress): BundleVerification {
  const { trace, from, to } = head;
  return { ok: true, trace, from, to, calls, traceCalls: end!.callCount, chainHead: chainHead! };
}

function bytesOf(hex: string | undefined): Buffer {
  return Buffer.from(String(hex), 'hex');
}
