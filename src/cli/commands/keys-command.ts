import type { Command } from 'commander';
import { UsageError } from '../exit-code.js';
import { collect, outputOption } from '../options.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { type DescribedKey, type KeyKeeper, keysOfServer, type NewKey } from '../sources/key-keeper.js';
import type { KeysConfig } from '../sources/keys-in-database.js';
import { addServerOptions, type ServerOptions } from '../sources/server.js';

type KeyOptions = NewKey & ServerOptions;

/**
 * `verdict keys`: makes, lists, rotates and revokes keys in the service's database, also while no service runs; a
 * running service sees changes within a second. The first key is made like this. With `--url` a service does it, for
 * callers with the scope `keys:admin`.
 */
export function addKeysCommand(program: Command, terminal: Terminal, readConfig: () => Promise<KeysConfig>): void {
  const keys = program.command('keys').summary('make, list, rotate and revoke API keys');

  keyOptions(keys.command('hash'))
    .description('Makes a key and the entry for VERDICT_API_KEYS_FILE. The key itself is on stderr, once.')
    .option('--name <name>', 'name of the caller', 'name-of-the-caller')
    .option('--stdin', 'read the key from standard input instead of making one')
    .action(async ({ name, stdin, ...options }: KeyOptions & { name: string; stdin?: true }) => {
      await check(name, options);
      const { digestOf, environmentOf, makeApiKey } = await import('../../auth/api-key.js');
      const key = stdin ? await readKey() : makeApiKey((await readConfig()).environment);
      if (environmentOf(key) === undefined) throw new UsageError('that is no API key: vd_<env>_<secret>_<checksum>');
      if (!stdin) terminal.remark(`The API key, which is shown this once:\n${key}`);
      terminal.printLines(entryOf(name, digestOf(key), options));
    });

  addServerOptions(keyOptions(keys.command('create')))
    .argument('<name>', 'name of the caller')
    .description('Makes a key in the database and prints it, this once.')
    .addHelpText('after', examples('create shop --scope decide --set invoices --expires 2027-06-30T12:00:00Z'))
    .action(async (name: string, options: KeyOptions) => {
      await check(name, options);
      await administer(options, async (keeper) => terminal.print(await keeper.create(name, options)));
    });

  addServerOptions(keys.command('list'))
    .description('Lists the keys of the database, never their secrets.')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', examples('list'))
    .action((options: ServerOptions & { output: string }) =>
      administer(options, async (keeper) => {
        const found = await keeper.list();
        if (options.output === 'json') terminal.printJson(found);
        else printTable(terminal, tableHead, found.map(rowOf));
      }),
    );

  addServerOptions(keys.command('rotate'))
    .argument('<name>', 'name of the caller')
    .option('--overlap <hours>', 'how long the key before stays good', '24')
    .description('Makes a new secret for a key and prints it, this once.')
    .addHelpText('after', examples('rotate shop --overlap 1'))
    .action((name: string, options: ServerOptions & { overlap: string }) => {
      const hours = /^\d+(\.\d+)?$/.test(options.overlap) ? Number(options.overlap) : Number.NaN;
      if (!(hours <= 2_160)) throw new UsageError('--overlap takes hours, 0 to 2160');
      return administer(options, async (keeper) =>
        terminal.print(await keeper.rotate(name, Math.round(hours * 3_600))),
      );
    });

  addServerOptions(keys.command('revoke'))
    .argument('<name>', 'name of the caller')
    .description('Revokes a key for good.')
    .addHelpText('after', examples('revoke shop'))
    .action((name: string, options: ServerOptions) => administer(options, (keeper) => keeper.revoke(name)));

  /** Reports what the service or the database refuses, and ends the command with exit code 2. */
  async function administer(options: ServerOptions, work: (keeper: KeyKeeper) => Promise<void>): Promise<void> {
    if (options.url !== undefined) return work(keysOfServer(options));
    const { withKeysInDatabase } = await import('../sources/keys-in-database.js');
    await withKeysInDatabase(await readConfig(), work);
  }
}

function examples(line: string): string {
  return `\nExamples:\n  verdict keys ${line}\n  verdict keys ${line} --url https://pdp.example.org\n`;
}

const tableHead = ['NAME', 'STATE', 'SCOPES', 'SETS', 'OWNER', 'LAST USED'];

function rowOf({ name, scopes, sets, owner, expires, revoked, lastUsed }: DescribedKey): string[] {
  const isExpired = expires !== undefined && Date.parse(expires) <= Date.now();
  return [
    name,
    revoked !== undefined ? 'revoked' : isExpired ? 'expired' : 'good',
    scopes.join(' '),
    sets?.join(' ') ?? 'all',
    owner ?? '',
    lastUsed ?? 'never',
  ];
}

function keyOptions(command: Command): Command {
  return command
    .requiredOption('--scope <scope>', 'what the caller may do: decide, decide:invoices, …; can be repeated', collect)
    .option('--set <set>', 'limits every scope to this policy set; can be repeated', collect)
    .option('--address <range>', 'where it may be used from; can be repeated', collect)
    .option('--owner <who>', 'who answers for it')
    .option('--expires <time>', 'until when, such as 2027-06-30T12:00:00Z');
}

/** Checks an entry with the reader of the key file. */
async function check(name: string, options: KeyOptions): Promise<void> {
  const { readApiKeyFile } = await import('../../auth/api-key-file.js');
  const { PolicyError } = await import('../../core/problem.js');
  try {
    readApiKeyFile('the key', entryOf(name, '0'.repeat(64), options));
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new UsageError(error.problems.map(({ message }) => message).join('\n'));
  }
}

/** JSON texts and lists are YAML too, and need no further quoting. */
function entryOf(name: string, digest: string, { scope, set, address, owner, expires }: KeyOptions): string {
  return [
    `- name: ${JSON.stringify(name)}`,
    `  sha256: "${digest}"`,
    `  scopes: ${JSON.stringify(scope)}`,
    ...(set === undefined ? [] : [`  sets: ${JSON.stringify(set)}`]),
    ...(address === undefined ? [] : [`  addresses: ${JSON.stringify(address)}`]),
    ...(owner === undefined ? [] : [`  owner: ${JSON.stringify(owner)}`]),
    ...(expires === undefined ? [] : [`  expires: ${JSON.stringify(expires)}`]),
  ].join('\n');
}

/** Reads from standard input, since every user of the machine can read a command line. */
async function readKey(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return text.trim();
}
