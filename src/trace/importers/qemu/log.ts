import { EMPTY_HEADER } from '../../parse-header.ts';
import type { ForeignFormat, ImportSink, LineImporter } from '../importer.ts';
import { BACKEND_EVENTS, type EventHandler } from './backend-events.ts';
import { CONTAINER_EVENTS, CONTAINER_PATTERNS } from './container-events.ts';
import { DEVICE_EVENTS, DEVICE_PATTERNS } from './device-events.ts';
import { createListener, isListenerEvent } from './listener.ts';
import { createSession } from './session.ts';
import { type EventValues, readPairs, valuesOf } from './values.ts';

const HANDLERS: ReadonlyMap<string, EventHandler> = new Map(
  Object.entries({ ...BACKEND_EVENTS, ...DEVICE_EVENTS, ...CONTAINER_EVENTS }),
);
const PATTERNS: ReadonlyMap<string, RegExp> = new Map(
  Object.entries({ ...DEVICE_PATTERNS, ...CONTAINER_PATTERNS }),
);

/** Events that tell again what another event tells: no call of their own. */
const TOLD_TWICE: ReadonlySet<string> = new Set(['iommufd_cdev_alloc_ioas', 'iommu_backend_set_fd']);

/** The simple backend: microseconds since the event before, then `pid=` and the arguments by name. */
const SIMPLE = /^(-?\d+\.\d{3}) pid=(\d+)(?: |$)/;
/** A date that `-msg timestamp=on` puts in front of a message. */
const DATE = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)? /;
/** The prefix of the log backend. */
const PREFIX = /^(\d{1,10})@(\d{1,12})\.(\d{6}):/;
const EVENT = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)+$/;
const OURS = /^(?:iommufd|vfio|iommu_backend)_[a-z0-9_]+(?: |$)/;

const NANOSECONDS = 1_000_000_000;

/** QEMU's trace log, of any version: the events of its iommufd and VFIO code. */
export const QEMU_LOG: ForeignFormat = {
  name: 'qemu',
  title: "QEMU's trace log (log backend, or simpletrace.py)",
  header: { ...EMPTY_HEADER, producer: 'QEMU trace log' },
  detects: (line) => OURS.test(line.replace(PREFIX, '').replace(DATE, '')),
  start: startLog,
};

function startLog(sink: ImportSink): LineImporter {
  const session = createSession(sink);
  const listener = createListener(session, sink);
  let firstSecond = -1;
  let simpleNs = 0;
  let tid: number | null = null;
  let tNs: number | null = null;

  /** Reads thread and time in front of an event; answers where the event begins. */
  const readPrefix = (line: string): number => {
    const at = line.indexOf('@');
    if (at <= 0 || at > 10) return 0;
    const prefix = PREFIX.exec(line);
    if (prefix === null) return 0;
    const second = Number(prefix[2]);
    if (firstSecond < 0) firstSecond = second;
    tid = Number(prefix[1]);
    tNs = (second - firstSecond) * NANOSECONDS + Number(prefix[3]) * 1000;
    return prefix[0].length;
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

  return {
    line(line) {
      const start = readPrefix(line);
      const space = line.indexOf(' ', start);
      const name = line.slice(start, space === -1 ? line.length : space);
      const rest = space === -1 ? '' : line.slice(space + 1);
      if (HANDLERS.has(name) || isListenerEvent(name)) {
        readEvent(name, rest);
      } else if (EVENT.test(name)) {
        listener.before(name);
        sink.skip(TOLD_TWICE.has(name) ? `${name} (told by another event)` : name);
      } else if (line.startsWith('  ')) {
        sink.skip('second line of an event');
      } else {
        const date = DATE.exec(line);
        if (date !== null && OURS.test(line.slice(date[0].length))) this.line(line.slice(date[0].length));
        else sink.skip('message');
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
