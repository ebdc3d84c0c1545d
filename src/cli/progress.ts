import { SingleBar } from 'cli-progress';
import type { Session } from './session.ts';

/** Work shorter than this shows no bar … */
const PATIENCE_MS = 500;
/** … unless it is known to be this much. */
const LARGE_BYTES = 1024 * 1024;

/** A bar that shows itself when the work turns out to be long. */
export interface Progress {
  /** Tells how much is done; of how much, or null when nobody knows. */
  update(done: number, total: number | null): void;
  /** Takes the bar away. */
  stop(): void;
}

/** Starts to watch a piece of work. `unit` is what is counted: `bytes` or `calls`. */
export function startProgress(session: Session, label: string, unit: 'bytes' | 'calls'): Progress {
  if (!session.showsProgress) return { update: () => {}, stop: () => {} };
  const startedMs = performance.now();
  let bar: SingleBar | null = null;
  return {
    update(done, total) {
      const isLong =
        performance.now() - startedMs > PATIENCE_MS || (unit === 'bytes' && (total ?? 0) > LARGE_BYTES);
      if (bar === null && !isLong) return;
      if (bar === null) {
        bar = openBar(label, unit, total);
        bar.start(total ?? done, done);
      }
      // Without a total the bar is always full, and its count is what tells that something happens.
      bar.setTotal(total ?? done);
      bar.update(done);
    },
    stop() {
      bar?.stop();
      bar = null;
    },
  };
}

function openBar(label: string, unit: string, total: number | null): SingleBar {
  const format =
    total === null ? `${label} {value} ${unit}` : `${label} {bar} {percentage}% {value}/{total} ${unit}`;
  return new SingleBar({
    format,
    stream: process.stderr,
    clearOnComplete: true,
    barsize: 30,
    barCompleteChar: '#',
    barIncompleteChar: '-',
  });
}
