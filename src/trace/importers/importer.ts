import type { Call } from '../call.ts';
import type { TraceHeader } from '../header.ts';

/** A call without a position: where a log has none, its order is that of the lines. */
export type UnplacedCall = Call extends infer Each ? (Each extends Call ? Omit<Each, 'seq'> : never) : never;

/** Where an importer puts what it reads. */
export interface ImportSink {
  /** Adds a call, which is the sink's from then on; answers the `seq` that it got, -1 for none. */
  call(call: UnplacedCall): number;
  /**
   * Counts a line that is no call, by a name for its kind. Every line is either imported, part of an imported
   * call, or counted here.
   */
  skip(name: string): void;
  /** Notes that the recorder lost events here; how many, null where it does not say. */
  lost(events: number | null): void;
}

/** Reads the lines of one log. Holds what it needs to pair lines, and nothing that grows with the log. */
export interface LineImporter {
  /** `text` is without its newline. */
  line(text: string): void;
  /**
   * Is asked first where there is one: reads the line that begins at `start` from its bytes, and answers
   * where the next one begins; -1 for a line that is wanted as text.
   */
  bytes?(bytes: Uint8Array, start: number): number;
  /** The log is at its end: what waits for a line that did not come is handed over. */
  end(): void;
}

/** A foreign format: a log that another tool writes. */
export interface ForeignFormat {
  /** As `--format` names it. */
  readonly name: string;
  /** What it is, in a few words. */
  readonly title: string;
  /** Whether a line can only be of this format. */
  detects(line: string): boolean;
  /** What is known of a trace that this tool recorded. */
  readonly header: TraceHeader;
  start(sink: ImportSink): LineImporter;
}
