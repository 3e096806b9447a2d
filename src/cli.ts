#!/usr/bin/env node
import type { Commands } from './cli/program.js';
import { keepCompiledCode } from './compile-cache.js';
import type { Config } from './config/config.js';

keepCompiledCode();

/** They need the service, which the commands on files do without; and no more of it than their parts ask for. */
const serviceCommands: Commands = {
  keys: async () => {
    const { addKeysCommand } = await import('./cli/commands/keys-command.js');
    return (program, terminal) =>
      addKeysCommand(program, terminal, async () => {
        const { defaultEnvironment } = await import('./config/environment-name.js');
        const { env: environment = defaultEnvironment, apiKeysFile, databaseUrl } = await readConfigWithoutPolicies();
        return {
          database: await databaseOf(databaseUrl),
          environment,
          ...(apiKeysFile !== undefined && { apiKeysFile }),
        };
      });
  },
  backup: async () => {
    const { addBackupCommand } = await import('./cli/commands/backup-command.js');
    return (program, terminal) => addBackupCommand(program, terminal, databasePath);
  },
  log: async () => {
    const { addLogCommand } = await import('./cli/commands/log-command.js');
    return (program, terminal) =>
      addLogCommand(
        program,
        terminal,
        database,
        databasePath,
        async () => (await readConfigWithoutPolicies()).logSigningKey,
      );
  },
  simulate: async () => {
    const { addSimulateCommand } = await import('./cli/commands/simulate-command.js');
    return (program, terminal) => addSimulateCommand(program, terminal, database);
  },
  unused: async () => {
    const { addUnusedCommand } = await import('./cli/commands/unused-command.js');
    return (program, terminal) => addUnusedCommand(program, terminal, database);
  },
  serve: async () => (program) => {
    program
      .command('serve')
      .summary('run the service')
      .description('Runs the service. docs/configuration.md lists the environment variables that it reads.')
      .option('--local', 'policies in ./policies, no authentication')
      .addHelpText('after', '\nExamples:\n  verdict serve --local\n  VERDICT_POLICY_DIR=policies verdict serve\n')
      .action(async ({ local }: { local?: true }) => {
        const { localDefaults } = await import('./config/read-config-or-exit.js');
        const { start } = await import('./start.js');
        await start(process.env, local ? localDefaults : {});
      });
  },
  config: async () => (program) => {
    program
      .command('config')
      .summary('look at the configuration')
      .command('check')
      .description('Prints the effective configuration, secrets masked. Exit code 78 when it is wrong.')
      .option('--local', 'policies in ./policies, no authentication')
      .addHelpText('after', '\nExamples:\n  VERDICT_POLICY_DIR=policies verdict config check\n')
      .action(async ({ local }: { local?: true }) => {
        const { localDefaults, readConfigOrExit } = await import('./config/read-config-or-exit.js');
        const { describeConfig } = await import('./config/read-config.js');
        const read = readConfigOrExit(process.env, local ? localDefaults : {});
        for (const warning of read.warnings) process.stderr.write(`warning: ${warning}\n`);
        process.stdout.write(`${describeConfig(read)}\n`);
      });
  },
  openapi: async () => {
    const { addOpenApiCommand } = await import('./cli/commands/openapi-command.js');
    return (program, terminal) =>
      addOpenApiCommand(program, terminal, async () => {
        const { openApiOfBuild } = await import('./openapi-of-build.js');
        return openApiOfBuild(await readConfigWithoutPolicies());
      });
  },
};

const { runCommandLine } = await import('./cli/program.js');
await runCommandLine(process.argv.slice(2), serviceCommands);

/** The file of an SQLite database, or the URL of one in PostgreSQL. */
async function database(): Promise<string> {
  return databaseOf((await readConfigWithoutPolicies()).databaseUrl);
}

async function databaseOf(databaseUrl: string): Promise<string> {
  const { isPostgresUrl } = await import('./config/postgres-url.js');
  return isPostgresUrl(databaseUrl) ? databaseUrl : databaseUrl.slice('sqlite:'.length);
}

async function databasePath(): Promise<string> {
  const { databasePathOf } = await import('./config/data-folder.js');
  return databasePathOf(await readConfigWithoutPolicies());
}

/**
 * For commands on the database and on the build itself, which need neither policies nor callers. Authentication stays
 * `required`: `none` is refused where the service listens for other machines, as in a container.
 */
async function readConfigWithoutPolicies(): Promise<Config> {
  const { localDefaults, readConfigOrExit } = await import('./config/read-config-or-exit.js');
  return readConfigOrExit(process.env, { policyDir: localDefaults.policyDir! }).config;
}
