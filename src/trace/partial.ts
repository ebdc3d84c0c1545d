import type { Call, JsonValue } from './call.ts';
import { RecordError } from './errors.ts';
import type { JsonRecord } from './fields.ts';

/**
 * What is not known of a call, because the tool that saw it does not tell. Captures have it under the key
 * `partial`; docs/capture-format.md lists the words.
 */
export interface PartialNote {
  /**
   * Parts that were not recorded: `fd`, `argp`, `arg` (no byte of the struct), `arg.FIELD`, `mem` (the buffers
   * that the struct points to), `memory` (what is mapped where), `out`, `ret`, `errno`. What stands in their
   * place in the call is a stand-in: zero, or what the importer's documentation says.
   */
  readonly missing: readonly string[];
  /** Why the answer may be that of another call. */
  readonly doubtful?: string;
  /** The log does not show this call: what it shows that lets no doubt about it. */
  readonly implied?: string;
  /** Numbers of this call's answer that later calls name. */
  readonly defines?: readonly NamedNumber[];
  /** Numbers of this request that are the answers of earlier calls. */
  readonly uses?: readonly NamedNumber[];
}

/** A number in a struct, in a user buffer, or beside it, by the name that a program gives it. */
export interface NamedNumber {
  readonly name: string;
  /** `ret`: the return value; `fd`: the descriptor; `arg`: bytes of the struct. */
  readonly in: 'ret' | 'fd' | 'arg';
  /** Offset in the struct; 0 for the others. */
  readonly at: number;
  readonly bytes: number;
}

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
