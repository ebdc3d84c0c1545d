import { ERRNO, findIoctlByName } from '../../../uapi/index.ts';

/** Values as strace prints them. Each reader answers null for what it can not read. */

/** A number in decimal, hex or octal, or NULL. */
export function numberIn(text: string | undefined): bigint | null {
  if (text === undefined) return null;
  const plain = text.replace(/\s*\/\*.*\*\/\s*$/, '').trim();
  if (plain === 'NULL') return 0n;
  if (/^0x[0-9a-f]{1,16}$/i.test(plain)) return BigInt(plain);
  if (/^-?\d{1,20}$/.test(plain)) {
    if (/^0[0-7]+$/.test(plain)) return BigInt(`0o${plain.slice(1)}`);
    return BigInt(plain);
  }
  return null;
}

export function smallIn(text: string | undefined): number | null {
  const value = numberIn(text);
  return value === null || value > 0x1f_ffff_ffff_ffffn || value < -0x1f_ffff_ffff_ffffn
    ? null
    : Number(value);
}

/** A descriptor and, with -y or -yy, what it is: `10</dev/iommu<char 10:125>>`. */
export function descriptorIn(
  text: string | undefined,
): { readonly fd: number; readonly link: string | null } | null {
  const match = /^(-?\d{1,10}|0x[0-9a-f]{1,8})(?:<(.*)>)?$/.exec(text ?? '');
  return match === null ? null : { fd: Number(match[1]) | 0, link: match[2] ?? null };
}

/** A string in quotes that was not cut off. */
export function stringIn(text: string | undefined): string | null {
  if (text === undefined || !/^".*"$/.test(text)) return null;
  return text.slice(1, -1).replace(/\\(?:([0-7]{1,3})|x([0-9a-f]{2})|(.))/g, (_, octal, hex, char) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return ({ n: '\n', t: '\t', r: '\r', v: '\v', f: '\f' } as Record<string, string>)[char] ?? char;
  });
}

/**
 * The command word of an ioctl: a name, names with "or" where a number has several, a number, `_IOC(…)`, or a
 * number with its name in a comment.
 */
export function commandIn(text: string | undefined): number | null {
  if (text === undefined) return null;
  const word = numberIn(text);
  if (word !== null) return Number(BigInt.asUintN(32, word));
  const parts = /^_IOC\(([^,]+), (0x[0-9a-f]+|'.'), (0x[0-9a-f]+|\d+), (0x[0-9a-f]+|\d+)\)$/.exec(text);
  if (parts !== null) return iocOf(parts[1]!, parts[2]!, Number(parts[3]), Number(parts[4]));
  const short = /^_IO([WR]*)\((0x[0-9a-f]+|'.'), (0x[0-9a-f]+|\d+)(?:, (0x[0-9a-f]+|\d+))?\)$/.exec(text);
  if (short !== null) return iocOf(short[1]!, short[2]!, Number(short[3]), Number(short[4] ?? 0));
  for (const name of text.split(' or ')) {
    const entry = findIoctlByName(name.trim());
    if (entry !== undefined) return entry.cmd;
  }
  return null;
}

function iocOf(dirText: string, typeText: string, nr: number, size: number): number | null {
  const type = typeText.startsWith("'") ? typeText.charCodeAt(1) : Number(typeText);
  const direction = (/W/.test(dirText) ? 1 : 0) | (/R(?!E)|READ/.test(dirText) ? 2 : 0);
  if (nr > 255 || type > 255 || size > 0x3fff) return null;
  return ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;
}

const FLAG_VALUES: Readonly<Record<string, number>> = {
  ...{ O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2, O_CREAT: 0o100, O_EXCL: 0o200, O_NOCTTY: 0o400, O_TRUNC: 0o1000 },
  ...{ O_APPEND: 0o2000, O_NONBLOCK: 0o4000, O_DSYNC: 0o10000, O_ASYNC: 0o20000, O_DIRECT: 0o40000 },
  ...{ O_LARGEFILE: 0o100000, O_DIRECTORY: 0o200000, O_NOFOLLOW: 0o400000, O_NOATIME: 0o1000000 },
  ...{ O_CLOEXEC: 0o2000000, O_SYNC: 0o4010000, O_PATH: 0o10000000 },
  ...{ PROT_NONE: 0, PROT_READ: 1, PROT_WRITE: 2, PROT_EXEC: 4 },
  ...{ MAP_SHARED: 1, MAP_PRIVATE: 2, MAP_SHARED_VALIDATE: 3, MAP_FIXED: 0x10, MAP_ANONYMOUS: 0x20 },
  ...{ MAP_32BIT: 0x40, MAP_GROWSDOWN: 0x100, MAP_DENYWRITE: 0x800, MAP_EXECUTABLE: 0x1000 },
  ...{ MAP_LOCKED: 0x2000, MAP_NORESERVE: 0x4000, MAP_POPULATE: 0x8000, MAP_NONBLOCK: 0x10000 },
  ...{ MAP_STACK: 0x20000, MAP_HUGETLB: 0x40000, MAP_SYNC: 0x80000, MAP_FIXED_NOREPLACE: 0x100000 },
};

/** Flags by name and number, `O_RDWR|O_CLOEXEC|0x40`; null when one has no number here. */
export function flagsIn(text: string | undefined): number | null {
  if (text === undefined) return null;
  let flags = 0;
  // With -X verbose the names stand in a comment behind the number.
  for (const part of text.replace(/\s*\/\*.*?\*\//g, '').split('|')) {
    const huge = /^(\d+)<<MAP_HUGE_SHIFT$/.exec(part);
    const value = huge === null ? (FLAG_VALUES[part] ?? smallIn(part)) : Number(huge[1]) * 2 ** 26;
    if (value === null) return null;
    flags = flags + value - Number(BigInt(flags) & BigInt(value));
  }
  return flags;
}

export interface StraceResult {
  readonly ret: bigint;
  readonly errno: number;
  /** It failed with an error that has no number here. */
  readonly unnamed: boolean;
  /** What the descriptor in `ret` is, with -y. */
  readonly link: string | null;
}

const ERRNO_BY_NAME: ReadonlyMap<string, number> = new Map(
  Object.entries({ ...ERRNO, EWOULDBLOCK: 11, EDEADLOCK: 35 }),
);

/** `= 0`, `= -1 EFAULT (Bad address)`, `= 0x7f…`, `= 10</dev/iommu>`; null for `= ?`. */
export function resultIn(text: string): StraceResult | null {
  const failed = /^-1 (?:E[A-Z0-9]+|\(errno (\d+)\))/.exec(text);
  if (failed !== null) {
    const name = text.slice(3).split(' ')[0]!;
    const errno = failed[1] === undefined ? (ERRNO_BY_NAME.get(name) ?? 0) : Number(failed[1]);
    return { ret: -1n, errno, unnamed: errno === 0, link: null };
  }
  const worked = /^(-?\d{1,20}|0x[0-9a-f]{1,16})(?:<(.*?)>)?(?= |$|\()/.exec(
    text.replace(/ <\d+\.\d+>$/, ''),
  );
  const ret = numberIn(worked?.[1]);
  return ret === null ? null : { ret, errno: 0, unnamed: false, link: worked?.[2] ?? null };
}
