import * as at from './row.ts';

/**
 * A bundle: a part of a trace that can be checked without the store. Lines of JSON, in this order:
 *
 * - one `BundleHead`;
 * - for each link of the chain, in order: the rows that it covers, one a line (`{"row":[…]}`, the columns of
 *   `call` in the order of ROW_COLUMNS, 64-bit values that a double does not hold as strings), when the link
 *   has a call of the range; then one `BundleLink`;
 * - one `BundleEnd`.
 *
 * The hashes of links without rows stand for their rows, so that the chain goes from the header of the trace
 * to its newest hash without a gap. docs/audit-sql.md says how an auditor uses that hash.
 */

/** `bundle` of the first line. */
export const BUNDLE_FORMAT = 'ioasis-audit-1';

/** First line. */
export interface BundleHead {
  readonly bundle: typeof BUNDLE_FORMAT;
  readonly trace: string;
  /** The header line of the capture as the store has it: the text is hashed. */
  readonly header: string | null;
  /** First and last call that the bundle is about; it holds all calls between them. */
  readonly from: number;
  readonly to: number;
}

/** After the rows of a link, if it has any here. */
export interface BundleLink {
  readonly link: number;
  /** SHA-256 of the rows and of their checks, in hex. */
  readonly rows: string;
  readonly checks: string;
  /** The checks themselves in base64, where the rows are here. */
  readonly row_checks?: string;
  /** SHA-256 of the link before, `rows` and `checks`. */
  readonly hash: string;
  /** The closing link covers these too. */
  readonly end?: { readonly calls: number; readonly skipped: string };
}

/** Last line that the chain knows of. */
export interface BundleEnd {
  /** Newest hash of the trace. */
  readonly head: string;
}

/** A row as JSON can hold it. */
export function rowToJson(row: at.Row): readonly (number | string | null)[] {
  return row.map((value) => (typeof value === 'bigint' ? String(value) : value));
}

/** @throws SyntaxError when it is no row */
export function rowOfJson(values: unknown): at.Row {
  if (!Array.isArray(values) || values.length !== at.COLUMN_COUNT) throw new SyntaxError('is no row');
  return values.map((value: unknown, column) => {
    if (value === null || typeof value === 'number') return value;
    if (typeof value !== 'string') throw new SyntaxError('is no row');
    return column === at.MORE || column === at.META ? value : BigInt(value);
  });
}
