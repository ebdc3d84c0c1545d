import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ModelChoice } from '../../replay/index.ts';
import { parseTopology, RecordError, type Topology } from '../trace/index.ts';
import { fileError, UsageError } from './errors.ts';

/** Flags of every command that applies a trace to the model. */
export interface ModelFlags {
  readonly kernel?: string;
  readonly topology?: string;
}

/** Adds `--kernel` and `--topology` to a command that applies a trace to the model. */
export function addModelOptions(command: Command): Command {
  return command
    .option('--kernel <release>', 'kernel to model in place of the recorded one, such as 6.12')
    .option('--topology <file>', 'JSON with hardware facts, in place of the recorded ones');
}

/**
 * The model that the flags ask for.
 * @throws UsageError for a topology that cannot be read.
 */
export function modelChoiceOf({ kernel, topology }: ModelFlags): ModelChoice {
  return { kernel: kernel ?? null, topology: topology === undefined ? null : readTopology(topology) };
}

/**
 * Reads the hardware facts of a file: an object as `topology` in the header of a capture.
 * @throws UsageError that names the file, and the key that is wrong.
 */
export function readTopology(path: string): Topology {
  try {
    return parseTopology(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if (error instanceof RecordError) throw new UsageError(`${path}: ${error.message}`, { cause: error });
    if (error instanceof SyntaxError) throw new UsageError(`${path}: is not JSON`, { cause: error });
    throw fileError(path, error);
  }
}
