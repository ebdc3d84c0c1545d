import type { Call, JsonValue } from './call.ts';
import { InexactNumberError, RecordError, TraceError } from './errors.ts';
import { intOf, type JsonRecord, textOf } from './fields.ts';
import type { TraceHeader } from './header.ts';
import { parseHeader } from './parse-header.ts';
import { recordToCall } from './record-to-call.ts';
import { requireWholeStruct } from './struct-size.ts';

/** Longest line that is read, in bytes. The reference recorder writes at most 1.4 MB. */
export const LINE_BYTES_MAX = 8 * 1024 * 1024;

/** What one line of a capture turned out to be. */
export type ParsedRecord =
  | { readonly type: 'call'; readonly call: Call }
  | { readonly type: 'header'; readonly header: TraceHeader }
  /** A record with an `op` that this version does not know: to be counted by name. */
  | { readonly type: 'skipped'; readonly op: string; readonly seq: number };

/** Where a line stands, for its errors and for records without a `seq` of their own. */
export interface LinePosition {
  readonly fileName: string;
  /** Counted from 1. */
  readonly lineNumber: number;
  /** `seq` of the record before; -1 for the first. */
  readonly previousSeq: number;
}

/**
 * Parses one line of a capture.
 * @throws TraceError naming file and line, when the line is malformed or its `seq` does not ascend.
 */
export function parseRecord(line: string, at: LinePosition): ParsedRecord {
  try {
    if (isTooLong(line)) throw new RecordError(`line is longer than ${LINE_BYTES_MAX} bytes`);
    return parseObject(line, at.previousSeq);
  } catch (error) {
    if (error instanceof RecordError) throw new TraceError(at, error.message);
    throw error;
  }
}

function parseObject(line: string, previousSeq: number): ParsedRecord {
  try {
    return recordOf(parseJson(line), previousSeq);
  } catch (error) {
    if (!(error instanceof InexactNumberError)) throw error;
    return recordOf(parseJson(quoteLongIntegers(line)), previousSeq);
  }
}

function recordOf(record: JsonRecord, previousSeq: number): ParsedRecord {
  const op = textOf(record, 'op');
  if (op === 'header') return { type: 'header', header: parseHeader(record) };
  const seq = record['seq'] === undefined ? previousSeq + 1 : intOf(record, 'seq');
  if (seq < 0) throw new RecordError('"seq" must not be negative');
  if (seq <= previousSeq)
    throw new RecordError(`"seq" is ${seq} but must be above ${previousSeq}, the one before`);
  const call = recordToCall(record, seq);
  if (call === undefined) return { type: 'skipped', op, seq };
  if (call.op === 'ioctl') requireWholeStruct(call);
  return { type: 'call', call };
}

function parseJson(line: string): JsonRecord {
  let value: JsonValue;
  try {
    value = JSON.parse(line) as JsonValue;
  } catch {
    throw new RecordError(`must be one JSON object a line, found ${excerpt(line)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonRecord;
  throw new RecordError(`must be a JSON object, found ${excerpt(line)}`);
}

/** The start of a line, safe to print: control characters are escaped. The engine's own message varies. */
function excerpt(line: string): string {
  return line.length <= 40 ? JSON.stringify(line) : `${JSON.stringify(line.slice(0, 40))} …`;
}

function isTooLong(line: string): boolean {
  // UTF-8 needs at most three bytes for a UTF-16 unit, so most lines need not be measured.
  return line.length > LINE_BYTES_MAX / 3 && Buffer.byteLength(line) > LINE_BYTES_MAX;
}

/** Rewrites integers that a double cannot hold as the hex strings that the format wants for them. */
function quoteLongIntegers(line: string): string {
  return line.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (token) => {
    if (token.startsWith('"') || Number.isSafeInteger(Number(token))) return token;
    const value = BigInt(token);
    return value < 0n ? token : `"0x${value.toString(16)}"`;
  });
}
