import { Command } from 'commander';
import { registerAudit } from './commands/audit.ts';
import { registerCompareHw } from './commands/compare-hw.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerExplain } from './commands/explain.ts';
import { registerImport } from './commands/import.ts';
import { registerIotlb } from './commands/iotlb.ts';
import { registerLint } from './commands/lint.ts';
import { registerList } from './commands/list.ts';
import { registerMachines } from './commands/machines.ts';
import { registerPagetable } from './commands/pagetable.ts';
import { registerPredict } from './commands/predict.ts';
import { registerReplay } from './commands/replay.ts';
import { registerShow } from './commands/show.ts';
import { registerTranslate } from './commands/translate.ts';
import { registerVerify } from './commands/verify.ts';
import { oneLine } from './errors.ts';
import { addCommonOptions, addExamples } from './options.ts';
import { type Output, writeStderr } from './output.ts';
import type { Runner } from './session.ts';
import { packageVersion } from './version.ts';

const EXIT_CODES = `
Exit codes:
  0   clean
  1   a divergence or a finding, or a log that does not verify
  2   wrong usage, or input that cannot be read
  70  a bug in ioasis

\`ioasis COMMAND --help\` has the options of a command and examples.`;

/** Builds the command line: all commands with their options and help. */
export function createProgram(stdout: Output, run: Runner): Command {
  const program = new Command('ioasis')
    .description(
      'Replays what programs asked of /dev/iommu through an executable model of the kernel, and shows\n' +
        'where the recorded answers and the modelled ones differ.',
    )
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: writeStderr,
      // Commander puts its suggestion on a line of its own.
      outputError: (text, write) =>
        write(
          `ioasis: ${oneLine(
            text
              .trim()
              .replace(/^error: /, '')
              .replace(/\n/g, ' '),
          )}\n`,
        ),
    })
    .configureHelp({ helpWidth: 100 });
  addCommonOptions(program);
  addExamples(program, [
    ['ioasis replay run.jsonl.gz', 'replay a capture and compare every answer with the recorded one'],
    ['ioasis import run.jsonl.gz && ioasis show run --failed', 'keep a capture, and list its failed calls'],
  ]);
  program.addHelpText('after', EXIT_CODES);
  for (const register of [
    registerImport,
    registerList,
    registerShow,
    registerReplay,
    registerExplain,
    registerLint,
    registerPagetable,
    registerTranslate,
    registerIotlb,
    registerCompareHw,
    registerPredict,
    registerAudit,
    registerVerify,
    registerMachines,
    registerCompletion,
  ]) {
    register(program, run);
  }
  for (const command of program.commands) addCommonOptions(command);
  return program;
}
