/**
 * The arguments of one trace event. The log backend prints them through the event's format string, the simple
 * backend (as scripts/simpletrace.py shows it) as `name=0x…` under the names of the declaration. Most format
 * strings of these events are `key=value` too, so both are read alike: a value is looked up under every key
 * that a version of QEMU has for it, and the order of the arguments does not matter.
 */
export interface EventValues {
  /** A number below 2^53; null when none of the keys is there. */
  number(...keys: readonly string[]): number | null;
  /** A number of up to 64 bits; null when none of the keys is there. */
  wide(...keys: readonly string[]): bigint | null;
  /** A number of 32 bits that may be below zero. */
  signed(...keys: readonly string[]): number | null;
  text(...keys: readonly string[]): string | null;
}

const PAIR = /([A-Za-z_][\w>-]*)=\s?(b?'[^']*'|0x[0-9a-fA-F]+|\(nil\)|-?\d+|[^\s,)]+)/g;
/** The return value, which most format strings have in parentheses at the end. */
const RESULT = /\((-?\d+)\)\s*$/;

/** Reads `key=value` pairs, and a number in parentheses at the end as `ret`. */
export function readPairs(text: string): EventValues {
  const pairs = new Map<string, string>();
  for (const match of text.matchAll(PAIR)) pairs.set(match[1]!, match[2]!);
  const result = RESULT.exec(text);
  if (result !== null && !pairs.has('ret')) pairs.set('ret', result[1]!);
  return valuesOf(pairs);
}

/** The groups of a match by name, as values; the names are those of the declaration. */
export function valuesOf(pairs: ReadonlyMap<string, string>): EventValues {
  const find = (keys: readonly string[]): string | null => {
    for (const key of keys) {
      const value = pairs.get(key);
      if (value !== undefined) return value;
    }
    return null;
  };
  const wide = (...keys: readonly string[]): bigint | null => wideOf(find(keys));
  return {
    wide,
    number(...keys) {
      const value = wide(...keys);
      return value === null || value > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(value);
    },
    signed(...keys) {
      const value = wide(...keys);
      return value === null ? null : Number(BigInt.asIntN(32, value));
    },
    text(...keys) {
      const value = find(keys);
      return value === null ? null : value.replace(/^b?'(.*)'$/, '$1');
    },
  };
}

/** `%p` prints a null pointer as `(nil)`; a number below zero is that of its 64 bits. */
function wideOf(text: string | null): bigint | null {
  if (text === '(nil)') return 0n;
  if (text === null || !/^(0x[0-9a-fA-F]{1,16}|-?\d{1,20})$/.test(text)) return null;
  return text.startsWith('-') ? BigInt.asUintN(64, BigInt(text)) : BigInt.asUintN(64, BigInt(text));
}
