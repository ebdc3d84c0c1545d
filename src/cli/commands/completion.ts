import { Argument, type Command } from 'commander';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples } from '../options.ts';
import type { Runner, Session } from '../session.ts';

/** `ioasis completion`: a script that a shell reads, made from the commands themselves. */
export function registerCompletion(program: Command, run: Runner): void {
  const command = program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh']));
  addExamples(command, [
    ['source <(ioasis completion bash)', 'complete commands, options and file names in this shell'],
    ['ioasis completion zsh >> ~/.zshrc', 'in every zsh'],
  ]);
  command.action((shell: string) => run(command, (session) => printScript(session, program, shell)));
}

function printScript(session: Session, program: Command, shell: string): ExitCode {
  // zsh reads completions of bash once it is told to.
  if (shell === 'zsh') session.print('autoload -U +X bashcompinit && bashcompinit');
  session.print(bashScript(program));
  return EXIT.clean;
}

function bashScript(program: Command): string {
  const cases = program.commands.map((command) => `    ${command.name()}) words="${optionsOf(command)}" ;;`);
  const names = program.commands.map((command) => command.name()).join(' ');
  const groups = program.commands.filter((command) => command.commands.length > 0);
  const parents = groups.map((command) => command.name()).join(' ');
  const first = program.commands[0]?.name() ?? '';
  return `_ioasis() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words="" word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
${cases.join('\n')}
    esac
  done
  if [[ -z "$words" ]]; then words="${names} ${optionsOf(program)}"; fi
  if [[ "$current" == -* || " ${parents} " == *" $before "* || "$words" == "${first} "* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _ioasis ioasis`;
}

/** The options of a command, and the commands below it with theirs. */
function optionsOf(command: Command): string {
  const below = command.parent === null ? [] : command.commands;
  const flags = [command, ...below].flatMap(({ options }) =>
    options.map((option) => option.long ?? option.short ?? ''),
  );
  return [...below.map((sub) => sub.name()), ...new Set(flags), '--help'].join(' ');
}
