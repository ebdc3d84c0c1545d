import { isatty } from 'node:tty';
import type { Command } from 'commander';
import picocolors from 'picocolors';
import { oneLine } from './errors.ts';
import { type CommonOptions, commonOptionsOf } from './options.ts';
import { type Output, writeStderr } from './output.ts';

/** What a command works with: the common options, and where its words go. */
export interface Session extends CommonOptions {
  /** Colours of text on stdout; functions that change nothing when there are none. */
  readonly colors: ReturnType<typeof picocolors.createColors>;
  /** True when a progress bar may be drawn on stderr. */
  readonly showsProgress: boolean;
  /** Writes a line of the result to stdout. */
  print(line: string): void;
  /** Writes text of the result to stdout as it is. */
  write(text: string): void;
  /** Writes a line that is not the result to stderr, unless `--quiet`. */
  remark(line: string): void;
}

/** Runs the work of a command and keeps its exit code: one of `EXIT`, or that of a program that it ran. */
export type Runner = (
  command: Command,
  work: (session: Session) => number | Promise<number>,
) => Promise<void>;

/** Puts together what a command works with, from its options and the environment of the process. */
export function openSession(command: Command, stdout: Output): Session {
  const options = commonOptionsOf(command);
  const { env } = process;
  const hasColors = options.color && isatty(1) && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return {
    ...options,
    colors: picocolors.createColors(hasColors),
    showsProgress: isatty(2) && !options.quiet,
    print: (line) => stdout.write(`${line}\n`),
    write: (text) => stdout.write(text),
    remark: (line) => {
      if (!options.quiet) writeStderr(`ioasis: ${oneLine(line)}\n`);
    },
  };
}
