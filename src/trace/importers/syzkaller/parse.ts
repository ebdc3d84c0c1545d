/**
 * The syntax of syzkaller's programs (docs/program_syntax.md): calls with values, pointers to values,
 * structs, arrays, unions, strings, and names of results. What a value means is not known here.
 */
export type SyzValue =
  | { readonly is: 'number'; readonly value: bigint }
  /** `nil`, or a pointer without anything behind it. */
  | { readonly is: 'nil' }
  /** `AUTO` in place of a number: a constant, or a length that syzkaller computes. */
  | { readonly is: 'auto' }
  /** `r1`, with an optional divisor and addend. */
  | { readonly is: 'result'; readonly name: string; readonly divide: bigint; readonly add: bigint }
  /** `<r1=>0x0`: a value that later calls name. */
  | { readonly is: 'defines'; readonly name: string; readonly value: SyzValue }
  | {
      readonly is: 'pointer';
      /** Null for AUTO: syzkaller chooses. */
      readonly addr: bigint | null;
      readonly size: bigint | null;
      readonly any: boolean;
      readonly to: SyzValue | null;
    }
  | { readonly is: 'bytes'; readonly bytes: Uint8Array }
  | { readonly is: 'list'; readonly values: readonly SyzValue[] }
  | { readonly is: 'union'; readonly option: string; readonly value: SyzValue | null };

export interface SyzLine {
  /** Name that the return value gets; null without one. */
  readonly defines: string | null;
  readonly name: string;
  readonly args: readonly SyzValue[];
  /** `fail_nth: 1`, `async, rerun: 3` … as they stand; empty without any. */
  readonly properties: string;
}

class SyzSyntaxError extends Error {}

/** Values inside of values; deeper is no program that syzkaller writes. */
const DEPTH_MAX = 64;
/** A compressed or repeated string may stand for more bytes than it has. */
const BYTES_MAX = 1024 * 1024;

/** Parses one line of a program; null when it is none. */
export function parseSyzLine(text: string): SyzLine | null {
  const head = /^(?:(r\d{1,9}) = )?([a-z_][A-Za-z0-9_]{0,80}(?:\$[A-Za-z0-9_$]{1,120})?)\(/.exec(text);
  if (head === null) return null;
  try {
    const reader = createReader(text, head[0].length);
    const args = reader.list(')', 0);
    const properties = text.slice(reader.at()).trim();
    const found = /^(\([^()]{0,200}\))?\s*(?:#.*)?$/.exec(properties);
    if (found === null) return null;
    return { defines: head[1] ?? null, name: head[2]!, args, properties: (found[1] ?? '').slice(1, -1) };
  } catch (error) {
    if (error instanceof SyzSyntaxError) return null;
    throw error;
  }
}

function createReader(text: string, start: number) {
  let at = start;
  const fail = (): never => {
    throw new SyzSyntaxError();
  };
  const blanks = (): void => {
    while (text[at] === ' ' || text[at] === '\t') at += 1;
  };
  const take = (token: string): boolean => {
    blanks();
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const match = (pattern: RegExp): RegExpExecArray | null => {
    blanks();
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found !== null) at += found[0].length;
    return found;
  };
  const number = (): bigint => {
    const found = match(/(-?)(0x[0-9a-fA-F]{1,16}|\d{1,20})/y);
    if (found === null) return fail();
    const digits = found[2]!;
    const value = /^0[0-7]+$/.test(digits) ? BigInt(`0o${digits.slice(1)}`) : BigInt(digits);
    return BigInt.asUintN(64, found[1] === '' ? value : -value);
  };

  const list = (end: string, depth: number): SyzValue[] => {
    const values: SyzValue[] = [];
    if (take(end)) return values;
    for (;;) {
      values.push(value(depth + 1));
      if (take(end)) return values;
      if (!take(',')) fail();
      if (take(end)) return values;
    }
  };

  const value = (depth: number): SyzValue => {
    if (depth > DEPTH_MAX) fail();
    blanks();
    const char = text[at];
    if (char === '&') return pointer(depth);
    if (char === '{') return braced('{', '}', depth);
    if (char === '[') return braced('[', ']', depth);
    if (char === '<') {
      const name = match(/<(r\d{1,9})=>/y)?.[1] ?? fail();
      return { is: 'defines', name, value: value(depth + 1) };
    }
    if (char === '@') {
      const option = match(/@([A-Za-z0-9_]{1,120})/y)?.[1] ?? fail();
      return { is: 'union', option, value: take('=') ? value(depth + 1) : null };
    }
    if (char === '"' || char === "'") return { is: 'bytes', bytes: string(char) };
    if (take('nil')) return { is: 'nil' };
    if (take('AUTO')) return { is: 'auto' };
    const result = match(/(r\d{1,9})(?:\/(0x[0-9a-f]{1,16}|\d{1,20}))?(?:\+(0x[0-9a-f]{1,16}|\d{1,20}))?/y);
    if (result !== null)
      return { is: 'result', name: result[1]!, divide: BigInt(result[2] ?? 0), add: BigInt(result[3] ?? 0) };
    return { is: 'number', value: number() };
  };

  const braced = (open: string, close: string, depth: number): SyzValue => {
    take(open);
    return { is: 'list', values: list(close, depth) };
  };

  const pointer = (depth: number): SyzValue => {
    take('&');
    let addr: bigint | null = null;
    let size: bigint | null = null;
    if (!take('AUTO')) {
      if (!take('(')) fail();
      addr = number();
      // Older programs write pages and an offset beside the address.
      if (take('+')) addr += number();
      else if (take('-')) addr -= number();
      if (take('/')) size = number();
      if (!take(')')) fail();
    }
    const any = take('=ANY');
    const to = take('=') ? value(depth + 1) : null;
    return { is: 'pointer', addr, size, any, to: to?.is === 'nil' ? null : to };
  };

  const string = (quote: string): Uint8Array => {
    at += 1;
    let bytes: Uint8Array;
    if (quote === '"' && text[at] === '$') {
      const digits = match(/\$([A-Za-z0-9+/=]*)"/y)?.[1];
      // Compressed data in base64, for images of file systems: it stands for itself here.
      return digits === undefined ? fail() : new Uint8Array(Buffer.from(digits, 'base64'));
    }
    if (quote === '"') {
      const digits = match(/([0-9a-fA-F]*)"/y)?.[1];
      if (digits === undefined || digits.length % 2 !== 0) return fail();
      bytes = new Uint8Array(Buffer.from(digits, 'hex'));
    } else {
      bytes = readable();
    }
    if (!take('/')) return bytes;
    const length = number();
    if (length > BigInt(BYTES_MAX)) fail();
    const padded = new Uint8Array(Number(length));
    padded.set(bytes.subarray(0, padded.length));
    return padded;
  };

  const readable = (): Uint8Array => {
    const bytes: number[] = [];
    for (;;) {
      const char = text[at];
      if (char === undefined) fail();
      at += 1;
      if (char === "'") return Uint8Array.from(bytes);
      if (char !== '\\') {
        for (const byte of Buffer.from(char!)) bytes.push(byte);
        continue;
      }
      const letter = text[at] ?? fail();
      at += 1;
      if (letter === 'x') {
        const digits = match(/[0-9a-fA-F]{2}/y)?.[0] ?? fail();
        bytes.push(Number.parseInt(digits, 16));
      } else bytes.push(ESCAPES[letter] ?? letter.charCodeAt(0));
    }
  };

  return { list, at: () => at };
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, a: 7, b: 8, f: 12, v: 11 };
