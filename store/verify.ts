import { createChainBuilder, firstHash, LINK_CALLS, type Link } from './chain.ts';
import type { SqliteDatabase } from './open-database.ts';
import { createExactReader, readPages } from './read-calls.ts';
import { hasRoundedValue, ROW_COLUMNS, SEQ } from './row.ts';
import { CHECK_BYTES } from './row-bytes.ts';
import { requireTraceRow, type TraceRow } from './trace-info.ts';

/** What checking the log of a trace found: nothing wrong, or the first place that is. */
export type Verification =
  | { readonly ok: true; readonly callCount: number; readonly linkCount: number; readonly isSealed: boolean }
  /** `seq` of the first call that may be affected; null when the trace as a whole is. */
  | { readonly ok: false; readonly seq: number | null; readonly what: string };

interface ChainRow {
  readonly link: number;
  readonly last_seq: number | null;
  readonly hash: Buffer;
}

const broken = (seq: number | null, what: string): Verification => ({ ok: false, seq, what });

/**
 * Recomputes the hash chain of a trace and compares it with what is stored, and the counts with the rows. Of
 * a trace that is still importing, the rows after its last link are counted but have no hash yet.
 * @throws StoreError when there is no such trace.
 */
export function verifyTrace(database: SqliteDatabase, traceId: number): Verification {
  const trace = requireTraceRow(database, traceId);
  const links = database
    .prepare('SELECT link, last_seq, hash FROM chain WHERE trace = ? ORDER BY link')
    .all(trace.id) as ChainRow[];
  const chain = createChainBuilder(trace.header, trace.log);
  const checks = createCheckReader(database, trace.id);
  const exactly = createExactReader(database, trace.id, ROW_COLUMNS);
  let callCount = 0;
  let linkCount = 0;
  let firstSeq: number | null = null;
  let lastSeq: number | null = null;
  let seqs: number[] = [];

  for (const rows of readPages(database, trace.id, ROW_COLUMNS, { fromSeq: Number.MIN_SAFE_INTEGER + 1 })) {
    for (const row of rows) {
      const seq = row[SEQ] as number;
      firstSeq ??= seq;
      seqs.push(seq);
      lastSeq = seq;
      callCount++;
      const link = chain.add(hasRoundedValue(row) ? exactly(row) : row);
      if (link === null) continue;
      const problem = compareLink(link, links[linkCount], checks(linkCount), seqs);
      if (problem !== null) return problem;
      linkCount++;
      seqs = [];
    }
  }

  if (trace.state === 'sealed') {
    const end = chain.end({ callCount, skipped: trace.skipped });
    const problem = compareLink(end, links[linkCount], checks(linkCount), seqs.length > 0 ? seqs : [lastSeq]);
    if (problem !== null) return problem;
    linkCount++;
  }
  return compareTrace(trace, links, { callCount, linkCount, firstSeq, lastSeq });
}

type CheckReader = (link: number) => Buffer | null;

function createCheckReader(database: SqliteDatabase, traceId: number): CheckReader {
  const one = database.prepare('SELECT checks FROM row_check WHERE trace = ? AND link = ?').pluck();
  return (link) => (one.get(traceId, link) as Buffer | undefined) ?? null;
}

/** `seqs` are those of the rows of the link. */
function compareLink(
  computed: Link,
  stored: ChainRow | undefined,
  checks: Buffer | null,
  seqs: readonly (number | null)[],
): Verification | null {
  const firstSeq = seqs[0] ?? null;
  const span = `calls ${firstSeq ?? '-'} to ${computed.lastSeq ?? '-'}`;
  if (stored === undefined) return broken(firstSeq, `the hash chain ends before ${span}`);
  const isSame = computed.hash.equals(stored.hash) && computed.lastSeq === stored.last_seq;
  if (computed.body === null) return isSame ? null : broken(firstSeq, otherHash(span, stored.link));
  const changed = firstDifference(computed.body.checks, checks);
  if (isSame) {
    if (changed === null) return null;
    const seq = seqs[Math.min(changed, seqs.length - 1)] ?? firstSeq;
    return broken(seq, `the row is as it was, but its check (link ${stored.link}) is not`);
  }
  if (changed === null) {
    const where = checks === null ? '' : ', and no row differs from its check: look at the header';
    return broken(firstSeq, otherHash(span, stored.link) + where);
  }
  if (changed >= seqs.length)
    return broken(computed.lastSeq, `calls that came after it are missing (${span})`);
  const seq = seqs[changed] ?? firstSeq;
  return broken(seq, `the row is not the one that was stored there (link ${stored.link}, ${span})`);
}

const otherHash = (span: string, link: number): string =>
  `the hash of ${span} (link ${link}) is not the one that was stored`;

/** Index of the first row whose check differs; null when all are the same, or none are known. */
export function firstDifference(computed: Buffer, stored: Buffer | null): number | null {
  if (stored === null || computed.equals(stored)) return null;
  let at = 0;
  while (at < computed.length && computed[at] === stored[at]) at += 1;
  return Math.floor(at / CHECK_BYTES);
}

function compareTrace(
  trace: TraceRow,
  links: readonly ChainRow[],
  found: { callCount: number; linkCount: number; firstSeq: number | null; lastSeq: number | null },
): Verification {
  const { callCount, linkCount, firstSeq, lastSeq } = found;
  if (trace.call_count !== callCount) {
    return broken(
      lastSeq,
      `the trace says that it has ${trace.call_count} calls, but ${callCount} are there`,
    );
  }
  if (trace.first_seq !== firstSeq || trace.last_seq !== lastSeq) {
    return broken(
      firstSeq,
      `the trace says calls ${trace.first_seq} to ${trace.last_seq}, found ${firstSeq} to ${lastSeq}`,
    );
  }
  if (links.length !== linkCount) {
    return broken(
      lastSeq,
      `the hash chain has ${links.length} links where ${LINK_CALLS} calls a link make ${linkCount}`,
    );
  }
  const badIndex = links.findIndex(({ link }, index) => link !== index);
  if (badIndex !== -1)
    return broken(null, `link ${badIndex} of the hash chain is numbered ${links[badIndex]!.link}`);
  const head = links[linkCount - 1]?.hash ?? firstHash(trace.header, trace.log);
  if (!head.equals(trace.chain_head))
    return broken(null, 'the newest hash of the trace is not the last of its chain');
  return { ok: true, callCount, linkCount, isSealed: trace.state === 'sealed' };
}
