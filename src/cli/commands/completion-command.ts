import { Argument, type Command } from 'commander';
import type { Terminal } from '../print/terminal.js';

/** Prints a script that completes commands and options; made from the commands themselves. */
export function addCompletionCommand(program: Command, terminal: Terminal): void {
  program
    .command('completion')
    .summary('print a script for shell completion')
    .description('Prints a script that completes commands, options and files.')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      '\nExamples:\n  source <(verdict completion bash)\n  verdict completion fish > ~/.config/fish/completions/verdict.fish\n',
    )
    .action((shell: 'bash' | 'zsh' | 'fish') => {
      terminal.printLines(shell === 'fish' ? fishScript(program) : bashScript(program, shell));
    });
}

/** A command's path and its options: `['policy rollback', ['--url', '--output']]`. The path of the program is empty. */
function* wordsOf(command: Command, path: readonly string[] = []): Generator<readonly [string, readonly string[]]> {
  const options = command.options.flatMap(({ long }) => long ?? []);
  yield [path.join(' '), [...command.commands.map((sub) => sub.name()), ...options, '--help']];
  for (const sub of command.commands) yield* wordsOf(sub, [...path, sub.name()]);
}

function bashScript(program: Command, shell: 'bash' | 'zsh'): string {
  const cases = [...wordsOf(program)].map(([path, words]) => `    '${path}') words='${words.join(' ')}' ;;`);
  const head = shell === 'zsh' ? ['autoload -U +X bashcompinit && bashcompinit'] : [];
  return [
    ...head,
    '_verdict() {',
    "  local current=${COMP_WORDS[COMP_CWORD]} path='' words='' word",
    '  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do',
    '    case "$word" in -*|*/*|*.*) break ;; *) path="${path:+$path }$word" ;; esac',
    '  done',
    '  case "$path" in',
    ...cases,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '}',
    'complete -o default -F _verdict verdict',
  ].join('\n');
}

function fishScript(program: Command): string {
  const lines: string[] = [];
  for (const sub of program.commands) {
    const about = sub.summary().replaceAll("'", "\\'");
    lines.push(`complete -c verdict -n __fish_use_subcommand -a ${sub.name()} -d '${about}'`);
    for (const [path, words] of wordsOf(sub, [sub.name()])) {
      const name = path.split(' ').at(-1);
      for (const word of words) {
        const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`;
        lines.push(`complete -c verdict -n '__fish_seen_subcommand_from ${name}' ${what}`);
      }
    }
  }
  return lines.join('\n');
}
