import type { JsonValue } from '../../call.ts';
import type { WriteText } from '../source.ts';

type Args = Readonly<Record<string, JsonValue>>;

/** A slice that is not written yet: the next one on its track may cut it short. */
interface Waiting {
  readonly name: string;
  readonly startNs: number;
  readonly durationNs: number;
  readonly args: Args;
}

/** Writes events of the trace event format, in tracks of processes and threads. */
export interface Tracks {
  begin(about: Args): void;
  nameProcess(pid: number, name: string): void;
  nameThread(pid: number, tid: number, name: string): void;
  /** A slice; of two on a track that overlap, the first one ends where the second begins. */
  slice(pid: number, tid: number, name: string, startNs: number, durationNs: number, args: Args): void;
  instant(pid: number, tid: number, name: string, atNs: number, args: Args): void;
  /** A life around the slices of a track, unless it has begun. */
  open(pid: number, tid: number, name: string, atNs: number): void;
  close(pid: number, tid: number, atNs: number): void;
  /** Ends what is open, and the file. */
  end(atNs: number): void;
}

/** Times of the format are microseconds; its fractions hold nanoseconds. */
const micros = (ns: number): number => ns / 1000;

export function createTracks(write: WriteText): Tracks {
  const named = new Set<string>();
  const waiting = new Map<string, Waiting>();
  const lives = new Map<string, { readonly name: string; readonly id: number }>();
  let lifeCount = 0;
  let isFirst = true;

  const event = (fields: Args): void => {
    write(`${isFirst ? '' : ',\n'}${JSON.stringify(fields)}`);
    isFirst = false;
  };
  const track = (key: string): { pid: number; tid: number } => {
    const [pid, tid] = key.split(' ');
    return { pid: Number(pid), tid: Number(tid) };
  };
  const flush = (key: string, untilNs: number): void => {
    const slice = waiting.get(key);
    if (slice === undefined) return;
    const { name, startNs, args } = slice;
    const durationNs = Math.max(0, Math.min(slice.durationNs, untilNs - startNs));
    event({ ph: 'X', ...track(key), name, ts: micros(startNs), dur: micros(durationNs), args });
    waiting.delete(key);
  };
  const closeLife = (key: string, atNs: number): void => {
    const life = lives.get(key);
    if (life === undefined) return;
    event({ ph: 'e', ...track(key), cat: 'life', id: life.id, name: life.name, ts: micros(atNs) });
    lives.delete(key);
  };
  const nameOnce = (key: string, fields: Args): void => {
    if (named.has(key)) return;
    named.add(key);
    event({ ph: 'M', ...fields });
  };

  return {
    begin: (about) => write(`{"displayTimeUnit":"ns","otherData":${JSON.stringify(about)},"traceEvents":[\n`),
    nameProcess: (pid, name) => nameOnce(`${pid}`, { pid, name: 'process_name', args: { name } }),
    nameThread: (pid, tid, name) =>
      nameOnce(`${pid} ${tid}`, { pid, tid, name: 'thread_name', args: { name } }),
    slice(pid, tid, name, startNs, durationNs, args) {
      const key = `${pid} ${tid}`;
      flush(key, startNs);
      waiting.set(key, { name, startNs, durationNs, args });
    },
    instant: (pid, tid, name, atNs, args) =>
      event({ ph: 'i', pid, tid, name, ts: micros(atNs), s: 'p', cat: 'finding', args }),
    open(pid, tid, name, atNs) {
      const key = `${pid} ${tid}`;
      if (lives.has(key)) return;
      lifeCount += 1;
      lives.set(key, { name, id: lifeCount });
      event({ ph: 'b', pid, tid, cat: 'life', id: lifeCount, name, ts: micros(atNs) });
    },
    close: (pid, tid, atNs) => closeLife(`${pid} ${tid}`, atNs),
    end(atNs) {
      for (const key of [...waiting.keys()]) flush(key, Number.MAX_SAFE_INTEGER);
      for (const key of [...lives.keys()]) closeLife(key, atNs);
      write('\n]}\n');
    },
  };
}
