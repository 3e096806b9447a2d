import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { KeyAdministration, KeyAdministrator } from '../auth/key-administration.js';
import type { ManagedKey } from '../auth/managed-keys.js';
import { VerdictError } from '../core/errors.js';
import { UsageError } from './exit-code.js';
import { outputOption } from './options.js';
import { alignColumns, type Terminal } from './terminal.js';

/** What the commands need of the configuration; read when one of them is called. */
export interface KeysConfig {
  readonly databasePath: string;
  readonly environment: string;
}

interface KeyOptions {
  readonly scope: string[];
  readonly set?: string[];
  readonly address?: string[];
  readonly owner?: string;
  readonly expires?: string;
}

/**
 * `verdict keys`: made, listed, rotated and revoked in the service's database, whether it runs or not; a service that
 * runs sees it within a second. This is also how the first key comes to be.
 */
export function addKeysCommand(program: Command, terminal: Terminal, readConfig: () => Promise<KeysConfig>): void {
  const keys = program.command('keys').summary('make, list, rotate and revoke API keys');

  keyOptions(keys.command('hash'))
    .description('Makes a key and the entry for VERDICT_API_KEYS_FILE. The key itself is on stderr, once.')
    .option('--name <name>', 'name of the caller', 'name-of-the-caller')
    .option('--stdin', 'read the key from standard input instead of making one')
    .action(async ({ name, stdin, ...options }: KeyOptions & { name: string; stdin?: true }) => {
      const { digestOf, environmentOf, makeApiKey } = await import('../auth/api-key.js');
      const key = stdin ? await readKey() : makeApiKey((await readConfig()).environment);
      if (environmentOf(key) === undefined) throw new UsageError('that is no API key: vd_<env>_<secret>_<checksum>');
      if (!stdin) terminal.remark(`The API key, which is shown this once:\n${key}`);
      terminal.print(entryOf(name, digestOf(key), options));
    });

  keyOptions(keys.command('create'))
    .argument('<name>', 'name of the caller')
    .description('Makes a key in the database and prints it, this once.')
    .action(async (name: string, options: KeyOptions) => {
      const { expires, scope: scopes, set: policySets, address: addresses, owner } = await checked(name, options);
      const key = {
        name,
        scopes,
        ...(policySets !== undefined && { policySets }),
        ...(addresses !== undefined && { addresses }),
        ...(owner !== undefined && { owner }),
        ...(expires !== undefined && { expires: Date.parse(expires) }),
      };
      await administer(readConfig, async (admin, by) => terminal.print(await admin.create(key, by)));
    });

  keys
    .command('list')
    .description('Lists the keys of the database, never their secrets.')
    .addOption(outputOption('text', 'json'))
    .action(({ output }: { output: string }) =>
      administer(readConfig, async (admin, by) => {
        const found = await admin.list(by);
        const { describeKey } = await import('../auth/key-description.js');
        if (output === 'json') terminal.print(JSON.stringify(found.map(describeKey), null, 2));
        else for (const line of alignColumns([HEAD, ...found.map(rowOf)])) terminal.print(line);
      }),
    );

  keys
    .command('rotate')
    .argument('<name>', 'name of the caller')
    .option('--overlap <hours>', 'how long the key before stays good', '24')
    .description('Makes a new secret for a key and prints it, this once.')
    .action((name: string, { overlap }: { overlap: string }) => {
      const hours = Number(overlap);
      if (!(hours >= 0 && hours <= 2_160)) throw new UsageError('--overlap takes hours, 0 to 2160');
      return administer(readConfig, async (admin, by) =>
        terminal.print(await admin.rotate(name, hours * 3_600_000, by)),
      );
    });

  keys
    .command('revoke')
    .argument('<name>', 'name of the caller')
    .description('Revokes a key for good.')
    .action((name: string) => administer(readConfig, (admin, by) => admin.revoke(name, by)));
}

const HEAD = ['NAME', 'STATE', 'SCOPES', 'SETS', 'OWNER', 'LAST USED'];

function rowOf(key: ManagedKey): string[] {
  const lastUsed = Math.max(...key.secrets.map((secret) => secret.lastUsed ?? 0));
  const isExpired = key.expires !== undefined && key.expires <= Date.now();
  return [
    key.name,
    key.revoked !== undefined ? 'revoked' : isExpired ? 'expired' : 'good',
    key.scopes.join(' '),
    key.policySets?.join(' ') ?? 'all',
    key.owner ?? '',
    lastUsed === 0 ? 'never' : new Date(lastUsed).toISOString(),
  ];
}

function keyOptions(command: Command): Command {
  const gather = (value: string, before: string[] = []) => [...before, value];
  return command
    .requiredOption('--scope <scope>', 'what the caller may do: decide, decide:invoices, …; can be repeated', gather)
    .option('--set <set>', 'limits every scope to this policy set; can be repeated', gather)
    .option('--address <range>', 'where it may be used from; can be repeated', gather)
    .option('--owner <who>', 'who answers for it')
    .option('--expires <time>', 'until when, such as 2027-06-30T12:00:00Z');
}

/** The file's own reader is what says whether an entry is right. */
async function checked(name: string, options: KeyOptions): Promise<KeyOptions> {
  const { readApiKeyFile } = await import('../auth/api-key-file.js');
  const { PolicyError } = await import('../core/problem.js');
  try {
    readApiKeyFile('the key', entryOf(name, '0'.repeat(64), options));
    return options;
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

async function administer(
  readConfig: () => Promise<KeysConfig>,
  work: (admin: KeyAdministration, by: KeyAdministrator) => Promise<void>,
): Promise<void> {
  const { databasePath: path, environment } = await readConfig();
  const { AuditLog } = await import('../audit/audit-log.js');
  const { KeyAdministration } = await import('../auth/key-administration.js');
  const { ManagedKeys } = await import('../auth/managed-keys.js');
  const { maskCredentials } = await import('../auth/mask-credentials.js');
  const audit = await AuditLog.open({
    path,
    mask: maskCredentials,
    onProblem: (_what, error) => Promise.reject(error),
  });
  const keys = await ManagedKeys.open(path);
  try {
    // A service that runs finds out by itself.
    const elsewhere = { refresh: () => Promise.resolve() };
    const by = { name: userInfo().username, method: 'command_line', policySets: 'all' } as const;
    await work(new KeyAdministration(keys, elsewhere, audit, environment), by);
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    throw new UsageError(error.detail);
  } finally {
    await keys.close();
    await audit.close();
  }
}

/** From standard input, since what stands on a command line can be read by everybody on the machine. */
async function readKey(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return text.trim();
}
