#!/usr/bin/env node
import { failureOf } from './errors.ts';
import { EXIT } from './exit-code.ts';
import { openOutput, writeStderr } from './output.ts';
import { createProgram } from './program.ts';
import { openSession } from './session.ts';

/** Runs a command line; answers the exit code. */
async function runCommandLine(args: readonly string[]): Promise<number> {
  const stdout = openOutput(1, '<stdout>');
  let exitCode: number = EXIT.clean;
  try {
    const program = createProgram(stdout, async (command, work) => {
      exitCode = await work(openSession(command, stdout));
    });
    await program.parseAsync(args, { from: 'user' });
    stdout.flush();
    return exitCode;
  } catch (error) {
    const failure = failureOf(error);
    try {
      stdout.flush();
    } catch {
      // The first error is the one that counts.
    }
    writeStderr(failure.text);
    return failure.exitCode;
  }
}

/**
 * An error outside of any command is a bug, and must not end with Node's own code 1, which means a
 * divergence.
 */
function failOutside(error: unknown): void {
  writeStderr(failureOf(error).text);
  process.exit(EXIT.bug);
}

process.on('uncaughtException', failOutside);
process.on('unhandledRejection', failOutside);
process.exitCode = await runCommandLine(process.argv.slice(2));
