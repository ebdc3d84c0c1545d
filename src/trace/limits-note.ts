import { RecordError } from './errors.ts';
import { type JsonRecord, u64Of } from './fields.ts';

/**
 * The note kind `limits`: what a process may lock in memory from here on. A recorder writes it where it sees
 * setrlimit, setuid or capset, and in front when it starts inside a process that is limited already. A fact
 * that the note does not name stays as it was. Described in docs/capture-format.md.
 */
export interface LimitsNote {
  /** RLIMIT_MEMLOCK (soft) in bytes; null: RLIM_INFINITY. Absent: not told. */
  readonly memlockBytes?: bigint | null;
  /** Real user id, whose processes are counted together. Absent: not told. */
  readonly uid?: number;
  /** Effective capabilities, without `CAP_` and in upper case. Absent: not told. */
  readonly capabilities?: readonly string[];
}

const UID_LAST = 0xffff_ffff;

/** Reads the keys of a `limits` note. @throws RecordError */
export function limitsOf(record: JsonRecord): LimitsNote {
  const { memlock, uid, capabilities } = record;
  const told: { -readonly [K in keyof LimitsNote]: LimitsNote[K] } = {};
  if (memlock !== undefined) told.memlockBytes = memlock === 'unlimited' ? null : u64Of(record, 'memlock');
  if (uid !== undefined) {
    if (!Number.isInteger(uid) || (uid as number) < 0 || (uid as number) > UID_LAST)
      throw new RecordError('"uid" must be a number of 32 bits');
    told.uid = uid as number;
  }
  if (capabilities !== undefined) {
    if (!isTextList(capabilities)) throw new RecordError('"capabilities" must be a list of names');
    told.capabilities = capabilities.map(capabilityName);
  }
  return told;
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

function capabilityName(name: string): string {
  return name.toUpperCase().replace(/^CAP_/, '');
}

const CLAUSE = /^([a-z0-9_,]*)((?:[=+-][eip]*)+)$/i;

/**
 * Whether a capability is effective in the text that `cap_set_proc` was given, as cap_from_text(3) reads it:
 * clauses of names and of what is set (`=`), added (`+`) or taken (`-`), from the left, beginning with none.
 * Undefined when the text is no such text.
 */
export function isEffective(text: string, capability: string): boolean | undefined {
  let effective = false;
  for (const clause of text.split(/\s+/).filter((part) => part !== '')) {
    const parts = CLAUSE.exec(clause);
    if (parts === null) return undefined;
    const names = parts[1]!.split(',').map(capabilityName);
    if (!names.some((name) => name === '' || name === 'ALL' || name === capability)) continue;
    for (const [, operator, flags] of parts[2]!.matchAll(/([=+-])([eip]*)/gi)) {
      const isNamed = /e/i.test(flags!);
      if (operator === '=') effective = isNamed;
      else if (isNamed) effective = operator === '+';
    }
  }
  return effective;
}
