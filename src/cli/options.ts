import { type Command, InvalidArgumentError, Option } from 'commander';

/** Store that is used when `--store` is not given. */
export const STORE_DEFAULT = './ioasis.db';

/** Options that every command takes, before or after its name. */
export interface CommonOptions {
  readonly store: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean;
}

/** Adds the common options to a command or to the program. */
export function addCommonOptions(command: Command): Command {
  return command
    .addOption(new Option('--store <file>', `event log to use (default: ${STORE_DEFAULT})`))
    .addOption(new Option('--json', 'machine output on stdout, and nothing else there'))
    .addOption(new Option('--quiet', 'no summaries, remarks and progress bars'))
    .addOption(new Option('--no-color', 'no colours (also: NO_COLOR in the environment)'));
}

/** The common options of a command that runs: its own first, then those before its name. */
export function commonOptionsOf(command: Command): CommonOptions {
  const levels: Record<string, unknown>[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) levels.push(at.opts());
  const first = (key: string): unknown => levels.find((options) => options[key] !== undefined)?.[key];
  return {
    store: (first('store') as string | undefined) ?? STORE_DEFAULT,
    json: first('json') === true,
    quiet: first('quiet') === true,
    // Commander sets `color` to true where `--no-color` is not given, so one false decides.
    color: levels.every((options) => options['color'] !== false),
  };
}

/** Adds examples to the help of a command: pairs of a command line and what it does. */
export function addExamples(command: Command, examples: readonly (readonly [string, string])[]): Command {
  const text = examples.map(([line, what]) => `  $ ${line}\n      ${what}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}

/** Parses a whole number of an option, decimal or with 0x. */
export function parseInteger(text: string): number {
  const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('must be a whole number.');
  return value;
}

/** As `parseInteger`, for a number that must not be zero. */
export function parsePositive(text: string): number {
  const value = parseInteger(text);
  if (value === 0) throw new InvalidArgumentError('must be 1 or more.');
  return value;
}

/** Parses a number of seconds: `1795170136.7386`, with a sign if wanted. */
export function parseSeconds(text: string): number {
  if (!/^[-+]?\d{1,12}(\.\d{1,9})?$/.test(text)) throw new InvalidArgumentError('must be seconds.');
  return Number(text);
}
