import { CommanderError } from 'commander';
import { StoreError } from '../../store/index.ts';
import { TraceError } from '../trace/index.ts';
import { EXIT, type ExitCode } from './exit-code.ts';

/** The command line asks for something that cannot be done. The message is one line. */
export class UsageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UsageError';
  }
}

/** Whoever reads our output has gone, as `head` does: the end, but no error. */
export class OutputClosedError extends Error {
  constructor() {
    super('the reader of the output has gone');
    this.name = 'OutputClosedError';
  }
}

/** How the process ends after an error. */
export interface Failure {
  readonly exitCode: ExitCode;
  /** Text for stderr, with its newline; empty when all was said. */
  readonly text: string;
}

/** Escapes control characters, so that one message is one line whatever file names and inputs hold. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  return text.replace(/[\u0000-\u001f\u007f]/g, (found) => JSON.stringify(found).slice(1, -1));
}

/** Sorts an error into the channels: bad input, help that commander has printed, or a bug of ours. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CommanderError) {
    // Commander throws for help and version too, and has written its text by then.
    return { exitCode: error.exitCode === 0 ? EXIT.clean : EXIT.badInput, text: '' };
  }
  if (error instanceof OutputClosedError) return { exitCode: EXIT.clean, text: '' };
  if (error instanceof UsageError || error instanceof TraceError || error instanceof StoreError) {
    return { exitCode: EXIT.badInput, text: `ioasis: ${oneLine(error.message)}\n` };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    exitCode: EXIT.bug,
    text:
      `ioasis: internal error: ${stack}\n` +
      'This is a bug in ioasis. Please report it with this text, the command line, the output of\n' +
      '`ioasis --version` and, if you may share it, the capture.\n',
  };
}

/** Says what went wrong with a file in the words of the other messages; other errors are passed on. */
export function fileError(path: string, error: unknown): unknown {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === undefined || (error as NodeJS.ErrnoException).syscall === undefined) return error;
  const problems: Readonly<Record<string, string>> = {
    ENOENT: 'no such file or directory',
    EACCES: 'permission denied',
    EISDIR: 'is a directory',
    ENOTDIR: 'a part of the path is not a directory',
    ENOSPC: 'no space left on the device',
  };
  return new UsageError(`${path}: ${problems[code] ?? `cannot be used (${code})`}`, { cause: error });
}
