/** The command line: which commands there are. What each does is in its own file. */
import { Command, CommanderError } from 'commander';
import { engineVersion } from '../core/engine/engine-version.js';
import { addCompletionCommand } from './commands/completion-command.js';
import { addDecideCommand } from './commands/decide-command.js';
import { addDiffCommand } from './commands/diff-command.js';
import { addExplainCommand } from './commands/explain-command.js';
import { addFmtCommand } from './commands/fmt-command.js';
import { addGatewayCommand } from './commands/gateway-command.js';
import { addInitCommand } from './commands/init-command.js';
import { addLintCommand } from './commands/lint-command.js';
import { addPolicyCommand } from './commands/policy-command.js';
import { addSearchCommands } from './commands/search-commands.js';
import { addTestCommand } from './commands/test-command.js';
import { exitCodes, UsageError } from './exit-code.js';
import { Terminal } from './print/terminal.js';

const commands = [
  addInitCommand,
  addLintCommand,
  addFmtCommand,
  addTestCommand,
  addDecideCommand,
  addExplainCommand,
  addSearchCommands,
  addDiffCommand,
  addPolicyCommand,
  addGatewayCommand,
  addCompletionCommand,
];

/** Runs one command line, `process.argv` without its first two parts; sets `process.exitCode`. */
export async function runCommandLine(
  args: readonly string[],
  addServiceCommands: (program: Command, terminal: Terminal) => void,
) {
  // `verdict lint | head`: whoever reads has enough. The exit code is still that of the findings.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const terminal = new Terminal(process.stdout, process.stderr, process.env);
  const program = new Command('verdict')
    .description('A policy decision point: write, check, test and serve Casbin policy sets.')
    .version(engineVersion)
    .exitOverride()
    // `--version` behind a command is that command's own.
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(verdict --help shows every command)')
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false })
    .addHelpText('after', '\nExit codes: 0 fine, 1 findings or a deny, 2 wrong usage, 78 wrong configuration.\n');
  addServiceCommands(program, terminal);
  for (const add of commands) add(program, terminal);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = reportFailure(error, terminal);
  }
}

function reportFailure(error: unknown, terminal: Terminal): number {
  // Commander has said what is wrong already; help and version are no failures.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.fine : exitCodes.usage;
  if (!(error instanceof UsageError)) throw error;
  terminal.remark(`verdict: ${error.message}`);
  if (error.hint !== undefined) terminal.remark(`  ${error.hint}`);
  return exitCodes.usage;
}
