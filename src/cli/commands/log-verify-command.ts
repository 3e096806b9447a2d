import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { DatabaseError } from '../../database/database-error.js';
import type { VerificationDepth } from '../../decision-log/proof/log-verification.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import type { DatabaseReport } from '../sources/verified-log.js';

interface VerifyOptions {
  readonly database?: string;
  readonly file?: string;
  readonly keys: string;
  readonly against?: string;
  readonly depth: VerificationDepth;
  readonly output?: 'text' | 'json';
}

/** Adds `verdict log verify`. `readDatabase` is asked where `--database` is not given. */
export function addVerify(log: Command, terminal: Terminal, readDatabase: () => Promise<string>): void {
  log
    .command('verify')
    .description(
      'Verifies a decision log offline: that no record was changed, removed, inserted or moved, and that none of the newest is\n' +
        'missing. Exit code 1 when something is wrong or missing; the first finding comes first.',
    )
    .requiredOption('--keys <file>', 'the public keys that count: what GET /v1/decisions/keys answered')
    .option(
      '--database <database>',
      'an SQLite file, a folder with one (a backup, a spool), or postgres://…; otherwise the one of VERDICT_DATABASE_URL',
    )
    .addOption(
      new Option('--file <file>', 'instead of a database, what `verdict log export --proof` wrote').conflicts(
        'database',
      ),
    )
    .option(
      '--against <path>',
      'checkpoints that were kept elsewhere: what GET /v1/decisions/checkpoints answered, notes, a file or folder of VERDICT_CHECKPOINT_SINK, or the log of a process',
    )
    .addOption(
      new Option(
        '--depth <depth>',
        'structure: hashes and signatures alone; content: that each record is the one hashed, too',
      )
        .choices(['structure', 'content'])
        .default('content'),
    )
    .addOption(new Option('--output <format>', 'text on a terminal, otherwise json').choices(['text', 'json']))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict log verify --database data/verdict.sqlite --keys keys.json\n' +
        '  verdict log verify --database backup/ --keys keys.json --against checkpoints.json\n',
    )
    .action(async (options: VerifyOptions) => {
      const { verifyExportFile, verifyLog } = await import('../sources/verified-log.js');
      const { readKeptCheckpoints } = await import('../sources/kept-checkpoints.js');
      const keys = keysIn(await contentOf(options.keys), options.keys);
      const against = options.against === undefined ? [] : await readKeptCheckpoints(options.against);
      let report: DatabaseReport;
      try {
        report =
          options.file === undefined
            ? await verifyLog(
                { database: options.database ?? (await readDatabase()), keys, against, depth: options.depth },
                (what) => terminal.remark(what),
              )
            : await verifyExportFile({ file: options.file, keys, against });
      } catch (error) {
        if (error instanceof DatabaseError) throw new UsageError(`the log cannot be read: ${error.message}`);
        throw error;
      }
      const isForPeople = options.output === undefined ? terminal.isTTY : options.output === 'text';
      if (isForPeople) printReport(terminal, report);
      else terminal.printJson(report, 0);
      process.exitCode = report.found === 0 ? exitCodes.fine : exitCodes.findings;
    });
}

async function contentOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

function keysIn(text: string, path: string): { key: string; certificates: string[] }[] {
  const list = (json(text) as { keys?: unknown } | undefined)?.keys;
  const keys = Array.isArray(list) ? list.filter((each) => typeof each?.key === 'string') : [];
  if (keys.length === 0 || !Array.isArray(list) || keys.length < list.length) {
    throw new UsageError(
      `${path} holds no keys`,
      'it must be what GET /v1/decisions/keys answers: {"keys": [{"key": "…"}]}',
    );
  }
  return keys.map(({ key, certificates }) => ({ key, certificates: Array.isArray(certificates) ? certificates : [] }));
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function printReport(terminal: Terminal, report: DatabaseReport): void {
  for (const { kind, sequence, through, place, what } of report.findings) {
    const to = through !== undefined && through !== sequence ? ` to ${through}` : '';
    terminal.print(`${kind}: ${sequence === undefined ? '' : `sequence ${sequence}${to}, `}${place}: ${what}`);
  }
  if (report.found > report.findings.length) terminal.print(`and ${report.found - report.findings.length} more`);
  for (const { after, lost, cause } of report.gaps) {
    terminal.print(
      `gap: ${lost ?? 'an unknown number of'} records behind sequence ${after} were noted as lost (${cause})`,
    );
  }
  for (const { id, time, records } of report.erasures) {
    terminal.print(`${count(records, 'record')} erased by ${id} on ${time.slice(0, 10)}`);
  }
  const depth = report.depth === 'content' ? 'structure and content' : 'structure alone';
  terminal.print(
    `${count(report.records, 'record')} and ${count(report.checkpoints, 'checkpoint')} verified: ${depth}`,
  );
  if (report.fleetCheckpoints > 0)
    terminal.print(`${count(report.fleetCheckpoints, 'checkpoint')} of the fleet verified`);
  if (report.audit !== undefined && report.audit.events > 0) {
    const { events, unsigned } = report.audit;
    const which = events === 1 ? 'which is' : `${unsigned} of which are`;
    const newer = unsigned === 0 ? '' : `, ${which} newer than the newest checkpoint`;
    terminal.print(`${count(events, 'audit event')} verified${newer}`);
  }
  const { adopted = 0, unproved = 0 } = report.audit ?? {};
  const from = 'from an earlier release or from somebody else';
  if (adopted > 0) terminal.print(`${count(adopted, 'audit event')} added to the chain without proof, ${from}`);
  if (unproved > 0) terminal.print(`${count(unproved, 'audit event')} without proof, ${from}`);
  if (report.archivedVersions !== undefined && report.archivedVersions > 0)
    terminal.print(`${count(report.archivedVersions, 'archived version')} of policy sets verified`);
  if (report.unsigned > 0) terminal.print(`${count(report.unsigned, 'record')} are newer than the newest checkpoint`);
  if (report.unproved > 0) terminal.print(`${count(report.unproved, 'record')} of earlier releases have no proof`);
  terminal.print(report.found === 0 ? 'nothing is wrong or missing' : `${count(report.found, 'finding')}`);
}
