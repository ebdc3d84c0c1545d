/** What stands in front of an event in the logs of QEMU 10.2 and newer. */
export interface MessageContext {
  /** Nanoseconds since 1970; null without a time. */
  readonly timeNs: bigint | null;
  /** Null where it is not told. */
  readonly tid: number | null;
  /** The event and its text. */
  readonly rest: string;
}

/**
 * A message of QEMU has, each if it is wanted: the time (`-msg timestamp=on`), the name of the guest (`-msg
 * guest-name=on`, in brackets or bare), the name of the program, and number and name of the thread. Before
 * 10.2 a trace line had none of that, or thread and time in another way (see log.ts).
 */
const CONTEXT = new RegExp(
  [
    '^(?:(?<date>\\d{4}-\\d\\d-\\d\\d)T(?<time>\\d\\d:\\d\\d:\\d\\d)(?:\\.(?<part>\\d{1,9}))?(?<zone>Z|[+-]\\d\\d(?::?\\d\\d)?) )?',
    '(?:\\[[^\\]]{0,200}\\] |[^:()]{1,200} (?=[\\w.+-]{1,100}: ?\\())?',
    '(?<program>[\\w.+-]{1,100}(?:: ?|(?=\\(\\d)))?',
    '(?:\\((?<tid>\\d{1,10}):[^()]{0,64}\\): )?',
    '(?<event>[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?: .*)?)$',
  ].join(''),
  's',
);

/** Longest line whose beginning is looked at. */
const LINE_CHARS_MAX = 4096;

/** Reads what stands in front of an event; null when it is not what QEMU puts there, or nothing. */
export function readContext(line: string): MessageContext | null {
  if (line.length > LINE_CHARS_MAX) return null;
  const groups = CONTEXT.exec(line)?.groups;
  if (groups === undefined) return null;
  const { date, time, part, zone, program, tid, event } = groups;
  if (date === undefined && program === undefined && tid === undefined) return null;
  return {
    timeNs: date === undefined ? null : timeOf(date, time!, part ?? '', zone!),
    tid: tid === undefined ? null : Number(tid),
    rest: event!,
  };
}

const NS_IN_MS = 1_000_000n;
const MS_IN_MINUTE = 60_000n;

function timeOf(date: string, time: string, part: string, zone: string): bigint {
  const [year, month, day] = date.split('-').map(Number) as [number, number, number];
  const [hour, minute, second] = time.split(':').map(Number) as [number, number, number];
  const ms = BigInt(Date.UTC(year, month - 1, day, hour, minute, second));
  const offset = /^([+-])(\d\d):?(\d\d)?$/.exec(zone);
  const minutes = offset === null ? 0 : Number(offset[2]) * 60 + Number(offset[3] ?? 0);
  const shift = BigInt(offset?.[1] === '-' ? -minutes : minutes) * MS_IN_MINUTE;
  return (ms - shift) * NS_IN_MS + BigInt(part.padEnd(9, '0'));
}
