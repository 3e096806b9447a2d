/** The command line: which commands there are. What each does is in its own file. */
import { Command, CommanderError } from 'commander';
import { engineVersion } from '../core/engine/engine-version.js';
import { exitCodes, UsageError } from './exit-code.js';
import { refuseRepeats } from './options.js';
import { Terminal } from './print/terminal.js';

/** Adds one command, or one with its subcommands, to the program. */
type AddCommand = (program: Command, terminal: Terminal) => void;

/** Loaders of commands, by name: only the file of the called command is loaded. */
export type Commands = Readonly<Record<string, () => Promise<AddCommand>>>;

const commandsOnFiles: Commands = {
  init: async () => (await import('./commands/init-command.js')).addInitCommand,
  lint: async () => (await import('./commands/lint-command.js')).addLintCommand,
  fmt: async () => (await import('./commands/fmt-command.js')).addFmtCommand,
  test: async () => (await import('./commands/test-command.js')).addTestCommand,
  decide: async () => (await import('./commands/decide-command.js')).addDecideCommand,
  explain: async () => (await import('./commands/explain-command.js')).addExplainCommand,
  'who-can': async () => (await import('./commands/search-commands.js')).addWhoCanCommand,
  'what-can': async () => (await import('./commands/search-commands.js')).addWhatCanCommand,
  'access-review': async () => (await import('./commands/search-commands.js')).addAccessReviewCommand,
  diff: async () => (await import('./commands/diff-command.js')).addDiffCommand,
  policy: async () => (await import('./commands/policy-command.js')).addPolicyCommand,
  data: async () => (await import('./commands/data-command.js')).addDataCommand,
  bundle: async () => (await import('./commands/bundle-command.js')).addBundleCommand,
  fleet: async () => (await import('./commands/fleet-command.js')).addFleetCommand,
  gateway: async () => (await import('./commands/gateway-command.js')).addGatewayCommand,
  completion: async () => (await import('./commands/completion-command.js')).addCompletionCommand,
};

/** Runs one command line, `process.argv` without its first two parts; sets `process.exitCode`. */
export async function runCommandLine(args: readonly string[], serviceCommands: Commands): Promise<void> {
  // `verdict lint | head` closes the pipe early. The exit code is still that of the findings.
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
  for (const load of commandsFor(args[0], { ...serviceCommands, ...commandsOnFiles }))
    (await load())(program, terminal);
  refuseRepeats(program);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = reportFailure(error, terminal);
  }
}

/** The called command, or all: for the help, a completion script, and suggestions for a misspelt name. */
function commandsFor(name: string | undefined, all: Commands) {
  const called = name !== undefined && name !== 'completion' && Object.hasOwn(all, name) ? all[name] : undefined;
  return called === undefined ? Object.values(all) : [called];
}

function reportFailure(error: unknown, terminal: Terminal): number {
  // Commander has printed the message already. Help and version are not failures.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.fine : exitCodes.usage;
  // By its name: its class would be loaded with every command.
  if (error instanceof Error && error.name === 'MissingEncryptionKey') {
    terminal.remark(`verdict: ${error.message}`);
    return exitCodes.usage;
  }
  if (!(error instanceof UsageError)) throw error;
  terminal.remark(`verdict: ${error.message}`);
  if (error.hint !== undefined) terminal.remark(`  ${error.hint}`);
  return exitCodes.usage;
}
