import type { Call, JsonValue, NamedNumber, PartialNote } from './call.ts';
import { RecordError } from './errors.ts';
import type { JsonRecord } from './fields.ts';

export type { NamedNumber, PartialNote } from './call.ts';

/** The length of a struct: of a longer one the rest is zero, and the kernel does the same. */
const HARMLESS: ReadonlySet<string> = new Set(['arg.size', 'arg.argsz']);

/** Whether something of the request is missing: then no answer can be predicted for certain. */
export function isRequestWhole({ missing }: PartialNote): boolean {
  const counts = (part: string): boolean => part === 'fd' || part === 'mem' || /^arg(\.|$)/.test(part);
  return !missing.some((part) => counts(part) && !HARMLESS.has(part));
}

/** Whether something of the recorded answer is missing. */
export function isAnswerWhole({ missing, doubtful }: PartialNote): boolean {
  return doubtful === undefined && !missing.some((part) => /^(out|ret|errno)$/.test(part));
}

/** Reads the key `partial`. @throws RecordError */
export function partialOf(value: JsonValue): PartialNote {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RecordError('"partial" must be an object');
  const { missing, doubtful, implied, defines, uses } = value as JsonRecord;
  const note: { -readonly [Key in keyof PartialNote]: PartialNote[Key] } = { missing: textsOf(missing) };
  if (doubtful !== undefined) note.doubtful = sentenceOf('doubtful', doubtful);
  if (implied !== undefined) note.implied = sentenceOf('implied', implied);
  if (defines !== undefined) note.defines = namedOf('defines', defines);
  if (uses !== undefined) note.uses = namedOf('uses', uses);
  return note;
}

/** Takes the key `partial` out of what was kept of a record, if it is there. @throws RecordError */
export function withPartial<C extends Call>(call: C): C {
  const { extra } = call;
  if (extra === null || extra['partial'] === undefined) return call;
  const { partial, ...others } = extra;
  return {
    ...call,
    extra: Object.keys(others).length === 0 ? null : others,
    partial: partialOf(partial as JsonValue),
  };
}

/** The note as a capture writes it. */
export function partialJson({ missing, doubtful, implied, defines, uses }: PartialNote): JsonValue {
  const numbers = (list: readonly NamedNumber[]): JsonValue => list.map((named) => ({ ...named }));
  return {
    missing: [...missing],
    ...(doubtful === undefined ? {} : { doubtful }),
    ...(implied === undefined ? {} : { implied }),
    ...(defines === undefined ? {} : { defines: numbers(defines) }),
    ...(uses === undefined ? {} : { uses: numbers(uses) }),
  };
}

function textsOf(value: JsonValue | undefined): readonly string[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value as string[];
  throw new RecordError('"missing" must be a list of names (in "partial")');
}

function sentenceOf(key: string, value: JsonValue): string {
  if (typeof value === 'string') return value;
  throw new RecordError(`"${key}" must be a string (in "partial")`);
}

function namedOf(key: string, value: JsonValue): readonly NamedNumber[] {
  const fail = (): never => {
    throw new RecordError(`"${key}" must be a list of {name, in, at, bytes} (in "partial")`);
  };
  if (!Array.isArray(value)) return fail();
  return value.map((named: JsonValue) => {
    const { name, in: place, at, bytes } = (named ?? {}) as JsonRecord;
    const isPlace = place === 'ret' || place === 'fd' || place === 'arg';
    if (typeof name !== 'string' || !isPlace || !isSmall(at) || !isSmall(bytes)) return fail();
    return { name, in: place, at, bytes };
  });
}

/** Recorders keep a page of a struct at most. */
const STRUCT_BYTES_MAX = 4096;

function isSmall(value: JsonValue | undefined): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= STRUCT_BYTES_MAX;
}
