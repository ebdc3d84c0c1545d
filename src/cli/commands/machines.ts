import { type Command, Option } from 'commander';
import { lifecycles, renderJson, renderMermaid } from '../../../machines/index.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples } from '../options.ts';
import type { Runner, Session } from '../session.ts';

interface MachinesFlags {
  readonly format?: 'mermaid' | 'json';
}

/** `ioasis machines`: the lifecycles that the model steps. */
export function registerMachines(program: Command, run: Runner): void {
  const command = program
    .command('machines')
    .description('print the lifecycles of kernel objects, as diagrams or tables')
    .addOption(
      new Option('--format <format>', 'mermaid unless --json is given').choices(['mermaid', 'json']),
    );
  addExamples(command, [
    ['ioasis machines', 'one mermaid state diagram after another'],
    ['ioasis machines --format json', 'states, events, guards and arrows as JSON'],
  ]);
  command.action((flags: MachinesFlags) => run(command, (session) => printMachines(session, flags)));
}

function printMachines(session: Session, { format }: MachinesFlags): ExitCode {
  const machines = Object.entries(lifecycles);
  if (format === 'json' || session.json) {
    const tables = machines.map(([, { flat }]) => JSON.parse(renderJson(flat)) as unknown);
    session.print(JSON.stringify(tables, null, session.json ? 0 : 2));
    return EXIT.clean;
  }
  const diagrams = machines.map(([name, { flat }]) => `%% ${name}\n${renderMermaid(flat)}`);
  session.print(diagrams.join('\n').trimEnd());
  return EXIT.clean;
}
