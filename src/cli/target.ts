import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { openStore, openTemporaryStore, type Store, type TraceInfo } from '../../store/index.ts';
import { UsageError } from './errors.ts';
import { importCapture } from './import-capture.ts';
import { startProgress } from './progress.ts';
import type { Session } from './session.ts';

/** A trace that a command was pointed at. */
export interface Target {
  readonly store: Store;
  readonly trace: TraceInfo;
  /** As the user named it: what a command that shows more of it has to be given. */
  readonly label: string;
}

/** Name of the trace that a capture becomes: its file name without `.jsonl` or `.jsonl.gz`. */
export function traceNameOf(source: string): string {
  return source === '-'
    ? 'stdin'
    : basename(source)
        .replace(/\.gz$/, '')
        .replace(/\.jsonl$/, '');
}

/**
 * Opens what TRACE names, and closes it after the work: `-` and a name that exists as a file are captures,
 * read through a temporary store; any other name is a trace in the store.
 * @throws UsageError when there is neither; TraceError and StoreError.
 */
export async function withTarget<T>(
  session: Session,
  name: string,
  work: (target: Target) => T | Promise<T>,
): Promise<T> {
  const isCapture = name === '-' || existsSync(name);
  const store = isCapture ? openTemporaryStore() : openExistingStore(session, name);
  try {
    const trace = isCapture
      ? await importTemporarily(session, store, name)
      : requireTrace(session, store, name);
    return await work({ store, trace, label: name });
  } finally {
    store.close();
  }
}

async function importTemporarily(session: Session, store: Store, source: string): Promise<TraceInfo> {
  const progress = startProgress(session, 'reading', 'bytes');
  try {
    return await importCapture(store, source, { name: traceNameOf(source), onProgress: progress.update });
  } finally {
    progress.stop();
  }
}

function openExistingStore(session: Session, name: string): Store {
  if (existsSync(session.store)) return openStore(session.store, { create: false });
  throw new UsageError(
    `${name}: no such file, and there is no store ${session.store} to look for a trace in`,
  );
}

function requireTrace(session: Session, store: Store, name: string): TraceInfo {
  const trace = store.findTrace(name);
  if (trace === null) throw new UsageError(`${name}: no such file, and no such trace in ${session.store}`);
  if (trace.state !== 'sealed') {
    session.remark(`trace ${name} is incomplete: its import has not ended, or was killed`);
  }
  return trace;
}
