import { EMPTY_HEADER } from '../../parse-header.ts';
import type { ForeignFormat, ImportSink, LineImporter } from '../importer.ts';
import { BACKEND_EVENTS } from './backend-events.ts';
import { CONTAINER_EVENTS, CONTAINER_PATTERNS } from './container-events.ts';
import { type MessageContext, readContext } from './context.ts';
import { DEVICE_EVENTS, DEVICE_PATTERNS } from './device-events.ts';
import type { EventHandler } from './event-handler.ts';
import { createListener, isListenerEvent, LISTENER_EVENTS } from './listener.ts';
import { createSession } from './session.ts';
import { createUsualLines } from './usual-lines.ts';
import { type EventValues, readPairs, valuesOf } from './values.ts';

const HANDLERS: ReadonlyMap<string, EventHandler> = new Map(
  Object.entries({ ...BACKEND_EVENTS, ...DEVICE_EVENTS, ...CONTAINER_EVENTS }),
);
const PATTERNS: ReadonlyMap<string, RegExp> = new Map(
  Object.entries({ ...DEVICE_PATTERNS, ...CONTAINER_PATTERNS }),
);

/** Events that tell again what another event tells: no call of their own. */
const TOLD_TWICE: ReadonlySet<string> = new Set(['iommufd_cdev_alloc_ioas', 'iommu_backend_set_fd']);

/** What becomes of an event. */
const KNOWN: ReadonlyMap<string, 'call' | 'listener' | 'told twice'> = new Map([
  ...[...HANDLERS.keys()].map((name) => [name, 'call'] as const),
  ...LISTENER_EVENTS.map((name) => [name, 'listener'] as const),
  ...[...TOLD_TWICE].map((name) => [name, 'told twice'] as const),
]);

/** The simple backend: microseconds since the event before, then `pid=` and the arguments by name. */
const SIMPLE = /^(-?\d+\.\d{3}) pid=(\d+)(?: |$)/;
/** The prefix of the log backend: thread, and time. */
const PREFIX = /^(\d{1,10})@(\d{1,12})\.(\d{6}):/;
const EVENT = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)+$/;
const OURS = /^(?:iommufd|vfio|iommu_backend)_[a-z0-9_]+(?: |$)/;

const NANOSECONDS = 1_000_000_000;
const AT_SIGN = 64;
const DOT = 46;
const COLON = 58;

/** Where the digits of the last `digitsAt` end. */
let digitsEnd = 0;

/** The number whose digits begin at a place, below 10^12; -1 when there is none. */
function digitsAt(line: string, start: number): number {
  let value = 0;
  let at = start;
  for (; at < start + 13; at += 1) {
    const digit = line.charCodeAt(at) - 48;
    if (!(digit >= 0 && digit <= 9)) break;
    value = value * 10 + digit;
  }
  digitsEnd = at;
  return at === start || at === start + 13 ? -1 : value;
}

/** QEMU's trace log, of any version: the events of its iommufd and VFIO code. */
export const QEMU_LOG: ForeignFormat = {
  name: 'qemu',
  title: "QEMU's trace log (log backend, or simpletrace.py)",
  header: { ...EMPTY_HEADER, producer: 'QEMU trace log' },
  detects: (line) => OURS.test(readContext(line)?.rest ?? line.replace(PREFIX, '')),
  start: startLog,
};

function startLog(sink: ImportSink): LineImporter {
  const session = createSession(sink);
  const listener = createListener(session, sink);
  let firstSecond = -1;
  let firstNs: bigint | null = null;
  let simpleNs = 0;
  let tid: number | null = null;
  let tNs: number | null = null;

  const setTime = (thread: number, second: number, micros: number): void => {
    if (firstSecond < 0) firstSecond = second;
    tid = thread;
    tNs = (second - firstSecond) * NANOSECONDS + micros * 1000;
  };

  const setContext = ({ timeNs, tid: thread }: MessageContext): void => {
    if (timeNs !== null) firstNs ??= timeNs;
    tid = thread ?? tid;
    tNs = timeNs === null ? tNs : Number(timeNs - firstNs!);
  };

  /** Reads thread and time in front of an event; answers where the event begins. */
  const readPrefix = (line: string): number => {
    let at = 0;
    const thread = digitsAt(line, at);
    at = digitsEnd;
    if (thread < 0 || line.charCodeAt(at) !== AT_SIGN) return 0;
    const second = digitsAt(line, at + 1);
    at = digitsEnd;
    if (second < 0 || line.charCodeAt(at) !== DOT) return 0;
    const micros = digitsAt(line, at + 1);
    if (micros < 0 || digitsEnd !== at + 7 || line.charCodeAt(digitsEnd) !== COLON) return 0;
    setTime(thread, second, micros);
    return digitsEnd + 1;
  };

  const readSimple = (rest: string): string => {
    const simple = SIMPLE.exec(rest);
    if (simple === null) return rest;
    simpleNs += Math.round(Number(simple[1]) * 1000);
    tid = Number(simple[2]);
    tNs = Number.isSafeInteger(simpleNs) ? simpleNs : null;
    return rest.slice(simple[0].length);
  };

  const readEvent = (name: string, rest: string): void => {
    const isSimple = /^-?\d+\.\d{3} pid=/.test(rest);
    const text = isSimple ? readSimple(rest) : rest;
    session.at(tid, tNs);
    if (isListenerEvent(name)) {
      listener.event(name, text, isSimple);
      return;
    }
    const handler = HANDLERS.get(name);
    if (handler === undefined) return;
    listener.before(name);
    const told = handler(session, valuesIn(name, text, isSimple));
    if (told !== true) sink.skip(told === false ? `${name} (damaged)` : `${name} (no call)`);
  };

  const usual = createUsualLines({
    session,
    at(thread, second, micros, isCall) {
      setTime(thread, second, micros);
      if (isCall) session.at(tid, tNs);
    },
    isCounted: (name) => EVENT.test(name) && !KNOWN.has(name),
    isListener: isListenerEvent,
    count(name) {
      listener.before(name);
      sink.skip(name);
    },
    countTold: (name) => listener.countTold(name),
    before: (name) => listener.before(name),
  });

  return {
    bytes: usual.read,
    line(line) {
      const start = readPrefix(line);
      const space = line.indexOf(' ', start);
      const name = line.slice(start, space === -1 ? line.length : space);
      const known = KNOWN.get(name);
      if (known === 'told twice') {
        listener.before(name);
        sink.skip(`${name} (told by another event)`);
      } else if (known !== undefined) {
        readEvent(name, space === -1 ? '' : line.slice(space + 1));
      } else if (EVENT.test(name)) {
        listener.before(name);
        sink.skip(name);
      } else if (line.startsWith('  ')) {
        sink.skip('second line of an event');
      } else {
        const context = readContext(line);
        if (context === null) {
          sink.skip('message');
          return;
        }
        setContext(context);
        this.line(context.rest);
      }
    },
    end: () => listener.end(),
  };
}

function valuesIn(name: string, text: string, isSimple: boolean): EventValues {
  const pattern = isSimple ? undefined : PATTERNS.get(name);
  if (pattern === undefined) return readPairs(text);
  return valuesOf(
    new Map(Object.entries(pattern.exec(text)?.groups ?? {}).filter(([, v]) => v !== undefined)),
  );
}
