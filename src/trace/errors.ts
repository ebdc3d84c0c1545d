/**
 * Where in a capture something is wrong. `lineNumber` counts from 1; null when the file as a whole is meant.
 */
export interface CapturePosition {
  readonly fileName: string;
  readonly lineNumber: number | null;
}

/**
 * Malformed or unreadable capture: bad input, never a bug of ours. The message is one line, fit to be
 * printed.
 */
export class TraceError extends Error {
  readonly fileName: string;
  readonly lineNumber: number | null;
  /** The message without the position. */
  readonly problem: string;

  constructor(at: CapturePosition, problem: string) {
    super(
      at.lineNumber === null ? `${at.fileName}: ${problem}` : `${at.fileName}:${at.lineNumber}: ${problem}`,
    );
    this.name = 'TraceError';
    this.fileName = at.fileName;
    this.lineNumber = at.lineNumber;
    this.problem = problem;
  }
}

/**
 * A record that does not have the shape it should have; whoever knows the position turns it into a
 * TraceError.
 */
export class RecordError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'RecordError';
  }
}

/**
 * A JSON number that a double cannot hold: the line has to be read again with its long numbers as hex
 * strings.
 */
export class InexactNumberError extends RecordError {
  constructor() {
    super('holds a number that is not exact in JSON: write integers of 2^53 and above as hex strings');
    this.name = 'InexactNumberError';
  }
}
