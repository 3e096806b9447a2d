#!/usr/bin/env node
import type { Command } from 'commander';
import { addBackupCommand } from './cli/commands/backup-command.js';
import { addKeysCommand } from './cli/commands/keys-command.js';
import { addLogCommand } from './cli/commands/log-command.js';
import { addOpenApiCommand } from './cli/commands/openapi-command.js';
import type { Terminal } from './cli/print/terminal.js';
import { runCommandLine } from './cli/program.js';
import type { Config } from './config/config.js';
import { databasePathOf } from './config/data-folder.js';
import { defaultEnvironment } from './config/environment-name.js';

await runCommandLine(process.argv.slice(2), addServiceCommands);

/** They need the whole service, which the commands on files do without: it is loaded when one of them is called. */
function addServiceCommands(program: Command, terminal: Terminal): void {
  addKeysCommand(program, terminal, async () => {
    const config = await readConfigWithoutPolicies();
    const { env, apiKeysFile } = config;
    return {
      databasePath: databasePathOf(config),
      environment: env ?? defaultEnvironment,
      ...(apiKeysFile !== undefined && { apiKeysFile }),
    };
  });
  addBackupCommand(program, terminal, async () => databasePathOf(await readConfigWithoutPolicies()));
  addLogCommand(program, terminal, async () => databasePathOf(await readConfigWithoutPolicies()));
  program
    .command('serve')
    .summary('run the service')
    .description('Runs the service. docs/configuration.md lists the environment variables that it reads.')
    .option('--local', 'policies in ./policies, no authentication')
    .addHelpText('after', '\nExamples:\n  verdict serve --local\n  VERDICT_POLICY_DIR=policies verdict serve\n')
    .action(async ({ local }: { local?: true }) => {
      const { localDefaults, serve } = await import('./serve.js');
      await serve(process.env, local ? localDefaults : {});
    });
  program
    .command('config')
    .summary('look at the configuration')
    .command('check')
    .description('Prints the effective configuration, secrets masked. Exit code 78 when it is wrong.')
    .option('--local', 'policies in ./policies, no authentication')
    .addHelpText('after', '\nExamples:\n  VERDICT_POLICY_DIR=policies verdict config check\n')
    .action(async ({ local }: { local?: true }) => {
      const { localDefaults, readConfigOrExit } = await import('./serve.js');
      const { describeConfig } = await import('./config/read-config.js');
      const read = readConfigOrExit(process.env, local ? localDefaults : {});
      for (const warning of read.warnings) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(`${describeConfig(read)}\n`);
    });
  addOpenApiCommand(program, terminal, async () => {
    const { openApiOfBuild } = await import('./openapi-of-build.js');
    return openApiOfBuild(await readConfigWithoutPolicies());
  });
}

/**
 * For commands on the database and on the build itself, which need neither policies nor callers. Authentication stays
 * `required`: `none` is refused where the service listens for other machines, as in a container.
 */
async function readConfigWithoutPolicies(): Promise<Config> {
  const { localDefaults, readConfigOrExit } = await import('./serve.js');
  return readConfigOrExit(process.env, { policyDir: localDefaults.policyDir! }).config;
}
