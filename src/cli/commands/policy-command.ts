import type { Command } from 'commander';
import type { ArchivedVersion } from '../../policy-store/archive/archived-version.js';
import type { PolicySetStatus } from '../../policy-store/policy-set-status.js';
import { exitCodes } from '../exit-code.js';
import { outputOption } from '../options.js';
import { printProblems } from '../print/report.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { fullVersion, managementPathOf, versionsOfServer } from '../sources/policy-versions.js';
import { addServerOptions, askServer, type ServerOptions } from '../sources/server.js';
import { addPolicyCandidateCommand } from './policy-candidate-command.js';
import { addPolicyPushCommands } from './policy-push-command.js';

interface PolicyOptions extends ServerOptions {
  readonly output: 'text' | 'json';
}

/** The versions that a running service serves or served, and rollbacks. */
export function addPolicyCommand(program: Command, terminal: Terminal): void {
  const policy = program.command('policy').summary('see and change what a running service serves');
  add(
    'list',
    'Lists the policy sets of a service. Exit code 1 when one of them is not what its folder holds.',
    async (options) => {
      const { items } = (await askServer(options, 'GET', '/v1/policy-sets')) as { items: readonly PolicySetStatus[] };
      if (options.output === 'json') terminal.printJson(items);
      else printSets(terminal, items);
      return items.every(({ state }) => state === 'active') ? exitCodes.fine : exitCodes.findings;
    },
  );
  add('versions <set>', 'Lists the versions of a policy set that served, the newest first.', async (options, set) => {
    const items: ArchivedVersion[] = [];
    for await (const version of versionsOfServer(options).list(set)) items.push(version);
    if (options.output === 'json') terminal.printJson(items);
    else {
      const rows = items.map(({ version, lastServed, gitCommit }) => [
        version,
        lastServed,
        gitCommit?.slice(0, 12) ?? '',
      ]);
      printTable(terminal, ['version', 'last served', 'commit'], rows);
    }
    return exitCodes.fine;
  });
  add(
    'rollback <set> <version>',
    "Serves an earlier version until the folder's version changes. The beginning of a version is enough.",
    async (options, set, version) => {
      const chosen = await fullVersion(versionsOfServer(options), set, version ?? '');
      return printStatus(
        options,
        await askServer(options, 'POST', `${managementPathOf(set)}/rollback`, { version: chosen }),
      );
    },
  );
  add(
    'reload <set>',
    'Reads the folder of a policy set again. Exit code 1 when it does not load.',
    async (options, set) => printStatus(options, await askServer(options, 'POST', `${managementPathOf(set)}/reload`)),
  );

  addPolicyPushCommands(policy, terminal);
  addPolicyCandidateCommand(policy, terminal);

  type Run = (options: PolicyOptions, set: string, version?: string) => Promise<number>;

  function add(command: string, description: string, run: Run): void {
    const added = policy.command(command).description(description);
    addServerOptions(added)
      .addOption(outputOption('text', 'json'))
      .addHelpText('after', `\nExample:\n  verdict policy ${command} --url http://127.0.0.1:3000\n`)
      .action(async (...given: unknown[]) => {
        const [options] = given.slice(-2) as [PolicyOptions, Command];
        const [set = '', version] = given.slice(0, -2) as string[];
        process.exitCode = await run(options, set, version);
      });
  }

  function printStatus(options: PolicyOptions, answer: unknown): number {
    const status = answer as PolicySetStatus;
    if (options.output === 'json') terminal.printJson(status);
    else printSets(terminal, [status]);
    return status.state === 'active' ? exitCodes.fine : exitCodes.findings;
  }
}

function printSets(terminal: Terminal, sets: readonly PolicySetStatus[]): void {
  const rows = sets.map(({ name, state, version, revision, since, pinned }) => [
    name,
    pinned ? `${state}, pinned` : state,
    `${version?.slice(0, 'sha256:'.length + 12) ?? ''}${revision === undefined ? '' : `, revision ${revision}`}`,
    since,
  ]);
  printTable(terminal, ['set', 'state', 'version', 'since'], rows);
  for (const { name, problems } of sets) printProblems(terminal, { name, path: name, problems });
}
