#!/usr/bin/env node
import type { Command } from 'commander';
import { DEFAULT_ENVIRONMENT } from './auth/api-key.js';
import { addBackupCommand } from './cli/backup-command.js';
import { addKeysCommand } from './cli/keys-command.js';
import { addLogCommand } from './cli/log-command.js';
import { addOpenApiCommand } from './cli/openapi-command.js';
import { runCommandLine } from './cli/program.js';
import type { Terminal } from './cli/terminal.js';
import type { Config } from './config.js';

await runCommandLine(process.argv.slice(2), addServiceCommands);

/** They need the whole service, which the commands on files do without: it is loaded when one of them is called. */
function addServiceCommands(program: Command, terminal: Terminal): void {
  addKeysCommand(program, terminal, async () => {
    const { databaseUrl, env, apiKeysFile } = await readConfigWithoutPolicies();
    return {
      databasePath: databaseUrl.slice('sqlite:'.length),
      environment: env ?? DEFAULT_ENVIRONMENT,
      ...(apiKeysFile !== undefined && { apiKeysFile }),
    };
  });
  addBackupCommand(program, terminal, async () =>
    (await readConfigWithoutPolicies()).databaseUrl.slice('sqlite:'.length),
  );
  addLogCommand(program, terminal, async () => (await readConfigWithoutPolicies()).databaseUrl);
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
      const { describeConfig } = await import('./read-config.js');
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
