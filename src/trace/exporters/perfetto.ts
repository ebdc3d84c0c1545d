import { errnoName, findIoctl } from '../../uapi/index.ts';
import type { Call } from '../call.ts';
import { type CallLinks, createResourceTracker, type Resource } from '../resources/index.ts';
import { createTracks, type Tracks } from './perfetto/tracks.ts';
import { createExportTally, type ExportSource, type ExportSummary, type WriteText } from './source.ts';

/** Something to mark at a call, such as a finding. */
export interface TraceMark {
  readonly seq: number;
  /** Short, the same for the same kind of thing: the id of a rule. */
  readonly name: string;
  readonly severity: string;
  readonly message: string;
}

export interface PerfettoExportOptions {
  /** The decoded call in one line. */
  readonly describe: (call: Call) => string;
  readonly marks?: readonly TraceMark[];
}

/** Process number of the tracks of objects: above any that Linux gives. */
const OBJECTS_PID = 0x4000_0000;
/** What a call takes where no clock was recorded: one microsecond, by its number. */
const STEP_NS = 1000;

/**
 * Writes the JSON of Chrome's trace event format, which Perfetto and chrome://tracing open: a track for each
 * thread and for each object and descriptor, calls as slices on the tracks of all that they name, lives of
 * objects as slices around them, marks as instants. Where the capture has no times, a call takes one
 * microsecond and stands at its number.
 */
export function exportPerfetto(
  source: ExportSource,
  write: WriteText,
  { describe, marks = [] }: PerfettoExportOptions,
): ExportSummary {
  const tally = createExportTally();
  const tracks = createTracks(write);
  const tracker = createResourceTracker();
  const marksBySeq = new Map<number, TraceMark[]>();
  for (const mark of marks) marksBySeq.set(mark.seq, [...(marksBySeq.get(mark.seq) ?? []), mark]);
  let lastNs = 0;
  tracks.begin({ trace: source.name, kernel: source.header.kernel ?? 'unknown' });
  for (const call of source.calls()) {
    const links = tracker.next(call);
    const startNs = call.tNs ?? call.seq * STEP_NS;
    const durationNs = durationOf(call);
    lastNs = Math.max(lastNs, startNs + durationNs);
    writeCall(tracks, call, links, startNs, durationNs, describe(call));
    for (const { name, severity, message } of marksBySeq.get(call.seq) ?? [])
      tracks.instant(call.pid, call.tid ?? call.pid, name, startNs, { seq: call.seq, severity, message });
    tally.wrote();
  }
  tracks.end(lastNs);
  return tally.summary();
}

function writeCall(
  tracks: Tracks,
  call: Call,
  links: CallLinks,
  startNs: number,
  durationNs: number,
  text: string,
): void {
  const name = nameOf(call);
  const errno = 'errno' in call ? call.errno : 0;
  const args = { seq: call.seq, call: text, ...(errno === 0 ? {} : { error: errnoName(errno) }) };
  tracks.nameProcess(call.pid, `process ${call.pid}`);
  tracks.slice(call.pid, call.tid ?? call.pid, name, startNs, durationNs, args);
  const named = new Set([...links.gives, ...links.uses].map(({ resource }) => resource));
  for (const resource of named) {
    if (!hasTrack(resource)) continue;
    const track = resource.index + 1;
    tracks.nameProcess(OBJECTS_PID, 'objects and descriptors');
    tracks.nameThread(OBJECTS_PID, track, `${resource.kind} ${resource.recorded}`);
    tracks.open(OBJECTS_PID, track, `${resource.kind} ${resource.recorded}`, startNs);
    tracks.slice(OBJECTS_PID, track, name, startNs, durationNs, args);
  }
  for (const resource of links.ends)
    if (hasTrack(resource)) tracks.close(OBJECTS_PID, resource.index + 1, startNs + durationNs);
}

/** Addresses have no life of their own, and there are as many as maps. */
function hasTrack({ type }: Resource): boolean {
  return type === 'object' || type === 'descriptor';
}

/** Newer recorders tell how long a call took, as `dt_ns`. */
function durationOf({ extra, tNs }: Call): number {
  const took = extra?.['dt_ns'];
  if (typeof took === 'number' && took > 0) return took;
  return tNs === null ? STEP_NS : 0;
}

function nameOf(call: Call): string {
  if (call.op === 'ioctl') return findIoctl(call.kind, call.cmd)?.name ?? `ioctl 0x${call.cmd.toString(16)}`;
  if (call.op === 'call') return call.name;
  return call.op === 'note' ? `note ${call.kind}` : call.op;
}
