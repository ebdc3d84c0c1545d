/** One line of strace, cut into its parts; what the arguments mean is up to the reader. */
export interface StraceLine {
  /** Process or thread; null without -f. */
  readonly tid: number | null;
  /** Nanoseconds from any origin; null without -t, -tt or -ttt. */
  readonly tNs: bigint | null;
  readonly body: StraceBody;
}

export type StraceBody =
  | {
      readonly type: 'call';
      readonly name: string;
      readonly args: readonly string[];
      readonly result: string;
    }
  /** A call that ends on a later line of the same thread. */
  | { readonly type: 'unfinished'; readonly text: string }
  | { readonly type: 'resumed'; readonly name: string; readonly text: string }
  | { readonly type: 'signal' }
  | { readonly type: 'exited' }
  | { readonly type: 'message' };

/** Behind a process: its command (`-Y`) and its number elsewhere (`--decode-pids`). */
const OF_PID = '(?:<[^>]{0,64}>)?(?: /\\*[^*]{0,80}\\*/)?';
/** Processes have seven digits at most; a longer number is a time without a fraction. */
const PID = new RegExp(`^(?:\\[pid +(\\d{1,7})${OF_PID}\\] +|(\\d{1,7})${OF_PID} +(?=[\\d<+\\-a-z[]))`);
const EPOCH = /^(\d{9,12})(?:\.(\d{1,9}))? +/;
const CLOCK = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? +/;
const RELATIVE = /^\+? *\d{1,6}\.\d{3,9} +/;
/** The instruction pointer (`-i`), and the number of the system call (`-n`). */
const BRACKETS = /^(?:\[(?:[0-9a-f]{8,16}|\?{8,16}| *\d{1,4})\] +){1,2}/;
const UNFINISHED = ' <unfinished ...>';
const RESUMED = /^<\.\.\. (\w{1,40}) resumed> ?/;
const NAME = /^(\w{1,40})\(/;

/** Cuts a line. Anything that is no line of strace is a message. */
export function readStraceLine(line: string): StraceLine {
  let rest = line;
  let tid: number | null = null;
  const pid = PID.exec(rest);
  // A time of day or of the epoch may stand first: the digits of a number alone are followed by a blank.
  if (pid !== null) {
    tid = Number(pid[1] ?? pid[2]);
    rest = rest.slice(pid[0].length);
  }
  let tNs: bigint | null = null;
  const epoch = EPOCH.exec(rest);
  const clock = epoch === null ? CLOCK.exec(rest) : null;
  if (epoch !== null) tNs = nanoseconds(BigInt(epoch[1]!), epoch[2] ?? '0');
  if (clock !== null)
    tNs = nanoseconds(
      BigInt(Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3])),
      clock[4] ?? '0',
    );
  rest = rest.slice((epoch ?? clock ?? RELATIVE.exec(rest) ?? [''])[0].length).trimStart();
  rest = rest.replace(BRACKETS, '');
  return { tid, tNs, body: readBody(rest) };
}

function nanoseconds(seconds: bigint, fraction: string): bigint {
  return seconds * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
}

function readBody(rest: string): StraceBody {
  if (rest.startsWith('--- ')) return { type: 'signal' };
  if (rest.startsWith('+++ ')) return { type: 'exited' };
  const resumed = RESUMED.exec(rest);
  if (resumed !== null) return { type: 'resumed', name: resumed[1]!, text: rest.slice(resumed[0].length) };
  if (!NAME.test(rest)) return { type: 'message' };
  const end = rest.trimEnd();
  if (end.endsWith(UNFINISHED.trimStart()))
    return { type: 'unfinished', text: end.slice(0, end.length - UNFINISHED.length + 1).trimEnd() };
  return readCall(rest) ?? { type: 'message' };
}

/** Cuts `name(a, b, {c, d}) = result`; null when the parentheses do not close. */
export function readCall(text: string): (StraceBody & { readonly type: 'call' }) | null {
  const name = NAME.exec(text)?.[1];
  if (name === undefined) return null;
  const args: string[] = [];
  let depth = 0;
  let start = name.length + 1;
  let openLinks = 0;
  for (let at = start; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === '"') {
      at = endOfString(text, at);
    } else if (char === '/' && text[at + 1] === '*') {
      const end = text.indexOf('*/', at + 2);
      at = end === -1 ? text.length : end + 1;
    } else if (char === '<' && openLinks < OPEN_LINKS_MAX && /\d/.test(text[at - 1] ?? '')) {
      const end = endOfLink(text, at);
      if (end === at) openLinks += 1;
      at = end;
    } else if (char === '(' || char === '{' || char === '[') {
      depth += 1;
    } else if ((char === ')' || char === '}' || char === ']') && depth > 0) {
      depth -= 1;
    } else if (char === ')') {
      const last = text.slice(start, at).trim();
      if (last !== '' || args.length > 0) args.push(last);
      const equals = /^\s*=\s*(.*)$/.exec(text.slice(at + 1));
      return equals === null ? null : { type: 'call', name, args, result: equals[1]!.trim() };
    } else if (char === ',' && depth === 0) {
      args.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return null;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

/** Links that do not end: a line with more of them is damaged, and each is looked for to its end. */
const OPEN_LINKS_MAX = 16;

/** `10</dev/iommu<char 10:125>>`: the link of a descriptor, which may hold any character. */
function endOfLink(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === '<') depth += 1;
    // A pipe prints as `->` in between.
    else if (text[at] === '>' && text[at - 1] !== '-') depth -= 1;
    if (depth === 0) return at;
  }
  return start;
}
