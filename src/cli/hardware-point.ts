import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type Command, InvalidArgumentError } from 'commander';
import { findMarker, type Geometry, type HardwareView, lookAt, parseGeometry } from '../../replay/index.ts';
import { fileError, UsageError } from './errors.ts';
import { parseInteger } from './options.ts';
import type { Target } from './target.ts';

/** The point of a trace at which a command looks at the hardware. */
export interface PointFlags {
  readonly at?: number;
  readonly marker?: string;
  readonly kernel?: string;
}

/** Adds the options that name the point; the end of the trace when neither is given. */
export function addPointOptions(command: Command): Command {
  return command
    .option('--at <seq>', 'look after this call, by its number', parseInteger)
    .option('--marker <text>', 'look at the marker note with this text (`dump` before it may be left out)')
    .option('--kernel <release>', 'kernel to model in place of the recorded one, such as 6.12');
}

/** What the hardware holds at the point. `isNeeded`: one must be named. */
export function lookAtPoint(
  target: Target,
  flags: PointFlags,
  isNeeded = false,
  format?: string,
): HardwareView {
  const { store, trace } = target;
  const options = { kernel: flags.kernel ?? null, ...(format === undefined ? {} : { format }) };
  return lookAt(store, trace, pointOf(target, flags, isNeeded), options);
}

export function pointOf(
  { store, trace, label }: Target,
  { at, marker }: PointFlags,
  isNeeded: boolean,
): number | null {
  if (at !== undefined && marker !== undefined)
    throw new UsageError('--at and --marker name a point each; give one of them');
  if (at !== undefined) {
    const [call] = store.readCallsExact(trace.id, { fromSeq: at, toSeq: at });
    if (call === undefined) throw new UsageError(`${label}: no call has the number ${at}`);
    return at;
  }
  if (marker !== undefined) {
    const seq = findMarker(store, trace.id, marker);
    if (seq === null) throw new UsageError(`${label}: no marker has the text ${JSON.stringify(marker)}`);
    return seq;
  }
  if (isNeeded) throw new UsageError('--at <seq> or --marker <text> must say at which point of the trace');
  return null;
}

/** Parses an address of an option: decimal, or with 0x. */
export function parseAddress(text: string): bigint {
  if (!/^(\d+|0x[0-9a-f]{1,16})$/i.test(text)) throw new InvalidArgumentError('must be an address.');
  const value = BigInt(text);
  if (value >> 64n !== 0n) throw new InvalidArgumentError('must be below 2^64.');
  return value;
}

/** Parses the size of caches: `sets=64,ways=8`. */
export function parseGeometryOption(text: string): Geometry {
  const found = parseGeometry(text);
  if (found === null) throw new InvalidArgumentError('must be such as sets=64,ways=8, 2^20 entries at most.');
  return found;
}

/** Parses `A`, `A-B` (inclusive) or `A+LENGTH` to inclusive pages of 4096 bytes. */
export function parsePages(text: string): { readonly first: number; readonly last: number } {
  const [, start = '', sign, end = ''] = /^([^-+]+)(?:([-+])(.+))?$/.exec(text) ?? [];
  const first = parseAddress(start);
  const last = sign === undefined ? first : sign === '-' ? parseAddress(end) : first + parseAddress(end) - 1n;
  if (last < first) throw new InvalidArgumentError('must not end before it begins.');
  return { first: Number(first >> 12n), last: Number(last >> 12n) };
}

/** A whole file as text, gzip or not. */
export function readTextFile(path: string): string {
  try {
    const bytes = readFileSync(path);
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return (isGzip ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code?.startsWith('Z_'))
      throw new UsageError(`${path}: damaged gzip data`, { cause: error });
    throw fileError(path, error);
  }
}

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** A table's word: 16 hex digits. */
export function hexWord(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}
