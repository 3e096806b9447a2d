import type { Command } from 'commander';
import { parseDuration } from '../../core/duration.js';
import type { FleetReplica, FleetReport } from '../../fleet/fleet-report.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { addServerOptions, askServer, type ServerOptions } from '../sources/server.js';

interface FleetOptions extends ServerOptions {
  readonly output: 'text' | 'json';
  readonly bound: string;
}

/** The replicas of a running service, and whether they serve the same. */
export function addFleetCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('fleet')
    .summary('see which replica serves what')
    .description(
      'Lists the replicas of a service. Exit code 1 when for longer than the bound replicas differ, or one is degraded or ' +
        'was not heard of; and when two have the same name.',
    )
    .option('--bound <duration>', 'how long replicas may differ, and one be degraded', '10s')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExample:\n  verdict fleet --url http://127.0.0.1:3000 --bound 30s\n');
  addServerOptions(command).action(async (options: FleetOptions) => {
    const boundMs = parseDuration(options.bound);
    if (boundMs === undefined)
      throw new UsageError(`--bound is "${options.bound}": say a duration such as 500ms, 10s or 5m`);
    const report = (await askServer(options, 'GET', '/v1/fleet')) as FleetReport;
    const findings = findingsOf(report, boundMs, Date.now());
    if (options.output === 'json') terminal.printJson({ ...report, findings });
    else print(terminal, report, findings);
    process.exitCode = findings.length === 0 ? exitCodes.fine : exitCodes.findings;
  });
}

/**
 * What is wrong for longer than the bound, in sentences.
 *
 * @param now milliseconds since 1970
 */
export function findingsOf({ replicas, differences, problems }: FleetReport, boundMs: number, now: number): string[] {
  const isLong = (since: string) => now - Date.parse(since) > boundMs;
  return [
    ...problems.map(({ message }) => message),
    ...replicas
      .filter(({ state, heard }) => state !== 'running' && isLong(heard))
      .map(({ instance, state, heard }) => `${instance} is ${state}: it was heard of last at ${heard}.`),
    ...replicas
      .filter(({ state, health, healthSince }) => state === 'running' && health !== 'ok' && isLong(healthSince))
      .map(
        ({ instance, healthSince, problems: why }) =>
          `${instance} is degraded since ${healthSince}: ${why.join('; ')}.`,
      ),
    ...differences
      .filter(({ since }) => isLong(since))
      .map(({ policySet, since, versions }) => {
        const each = versions.map(({ version, instances }) => `${short(version)} on ${instances.join(', ')}`);
        return `Replicas differ about ${policySet} since ${since}: ${each.join('; ')}.`;
      }),
  ];
}

function print(terminal: Terminal, { replicas }: FleetReport, findings: readonly string[]): void {
  const rows = replicas.flatMap((replica, index) => {
    const sets = replica.sets.map(({ name, version, revision, state, since }) => [
      name,
      revision === undefined ? short(version) : `${short(version)}, revision ${revision}`,
      state,
      since,
    ]);
    const [first = ['', '', '', ''], ...others] = sets;
    const own = [[...describe(replica), ...first], ...others.map((set) => ['', '', '', '', ...set])];
    const { of } = replica.worker ?? {};
    const isFirst = of !== undefined && replicas[index - 1]?.worker?.of !== of;
    return isFirst ? [describeService(of, replicas), ...own] : own;
  });
  printTable(terminal, ['replica', 'build', 'is', 'log', 'set', 'version', 'state', 'since'], rows);
  for (const finding of findings) terminal.print(finding);
}

/** The line above the workers of one service. */
function describeService(name: string, replicas: readonly FleetReplica[]): string[] {
  const workers = replicas.filter(({ worker }) => worker?.of === name);
  const running = workers.filter(({ state }) => state === 'running').length;
  const restarts = workers.reduce((sum, { worker }) => sum + worker!.restarts, 0);
  const what = `${running} ${running === 1 ? 'worker' : 'workers'}, ${restarts} ${restarts === 1 ? 'restart' : 'restarts'}`;
  return [name, '', what, '', '', '', '', ''];
}

function describe({ instance, worker, build, state, health, unshipped, logLagSeconds }: FleetReplica): string[] {
  const log = unshipped === 0 ? 'all shipped' : `${unshipped} to ship, ${logLagSeconds} s`;
  return [worker === undefined ? instance : `  ${instance}`, build, state === 'running' ? health : state, log];
}

function short(version: string | undefined): string {
  return version?.slice(0, 'sha256:'.length + 12) ?? 'nothing';
}
