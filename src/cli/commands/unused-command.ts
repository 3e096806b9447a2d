import { type Command, InvalidArgumentError, Option } from 'commander';
import { isCombination } from '../../core/policy/combination.js';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import { dayMs } from '../../query/time-zone.js';
import { exitCodes } from '../exit-code.js';
import { outputOption } from '../options.js';
import { count } from '../print/report.js';
import type { Terminal } from '../print/terminal.js';
import { unshippedOfServer, unshippedWriters } from '../sources/log-source.js';
import { decisionsOfFile, decisionsOfLog, type LoggedLine } from '../sources/logged-decisions.js';
import { type LoadedFolder, loadFolder } from '../sources/policy-folder.js';
import { servedEngine } from '../sources/served-engine.js';
import { type Grant, UsedGrants } from '../sources/used-grants.js';
import { addLogSource, LogReading } from './log-reading.js';

interface UnusedOptions {
  readonly url?: string;
  readonly database?: string;
  readonly file?: string;
  readonly policySet?: string;
  readonly days: number;
  readonly output: 'text' | 'json';
}

/** What no logged decision used. */
interface Unused {
  readonly policySet: string;
  readonly from: string;
  readonly decisions: number;
  readonly rules: { readonly total: number; readonly unused: readonly Grant[] };
  readonly links: { readonly total: number; readonly unused: readonly Grant[] };
  /** Whether a decision of that time could have used more than was told. */
  readonly complete: boolean;
  /** Why not, one sentence each. */
  readonly limits: readonly string[];
}

/** `readDatabase` is asked where nothing says which log is meant. */
export function addUnusedCommand(program: Command, terminal: Terminal, readDatabase: () => Promise<string>): void {
  const command = program
    .command('unused [folder]')
    .summary('list grants that no logged decision used')
    .description(
      'Lists the rules of a policy set that allow and decided nothing, and the role links over which no decision came to its rule,\n' +
        'in the decisions of the last days: of one service, or of all replicas that share a log.',
    );
  addLogSource(command)
    .addOption(
      new Option('--file <file>', 'an export of the log: verdict log export > FILE').conflicts(['url', 'database']),
    )
    .option('--policy-set <name>', 'whose decisions; by default the set of the name that the folder has')
    .option('--days <number>', 'how many days back', wholeDays, 90)
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict unused policies/invoices --days 90\n' +
        '  verdict unused policies/invoices --url https://pdp.example --output json\n\n' +
        'Exit code 1 when there are such grants.\n',
    )
    .action(async (folder: string | undefined, options: UnusedOptions) => {
      const set = await loadFolder(folder);
      const { url, database, file, days } = options;
      const from = Date.now() - days * dayMs;
      const policySet = options.policySet ?? set.folder.name;
      const filters: DecisionFilters = { policySet, decision: 'allow', from: new Date(from).toISOString() };
      const look = (lines: AsyncIterable<LoggedLine>, unshipped: readonly string[]) =>
        findUnused(lines, { set, policySet, from, unshipped }, terminal);
      if (file !== undefined) {
        process.exitCode = report(await look(decisionsOfFile(file, filters), []), options, terminal);
        return;
      }
      const source = { ...(url !== undefined && { url }), ...(database !== undefined && { database }) };
      await new LogReading(terminal, readDatabase).run(source, async (log) => {
        const unshipped = url === undefined ? unshippedWriters(log) : unshippedOfServer({ url }, Date.now());
        return report(await look(decisionsOfLog(log, filters), await unshipped), options, terminal);
      });
    });
}

interface Looked {
  readonly set: LoadedFolder;
  readonly policySet: string;
  readonly from: number;
  /** Replicas that have not shipped all that they decided. */
  readonly unshipped: readonly string[];
}

async function findUnused(
  lines: AsyncIterable<LoggedLine>,
  { set, policySet, from, unshipped }: Looked,
  terminal: Terminal,
): Promise<Unused> {
  const engine = await servedEngine(set);
  try {
    const used = new UsedGrants(set, engine.own);
    let gaps = 0;
    for await (const line of lines) {
      if ('gap' in line) gaps++;
      else if (!('erred' in line)) used.add(line);
      if (used.counts.decisions % 1_000 === 0) terminal.progress(`${used.counts.decisions} decisions`);
    }
    terminal.progress('');
    const { counts, oldest, size } = used;
    const limits = [...limitsOf(used, set, engine.own !== undefined, from)];
    if (gaps > 0) limits.push(`${count(gaps, 'gap')} of the log`);
    for (const writer of unshipped) limits.push(`not all that ${writer} decided is in the log`);
    return {
      policySet,
      from: new Date(Math.max(from, oldest ?? from)).toISOString(),
      decisions: counts.decisions,
      rules: { total: size.rules, unused: used.unusedRules },
      links: { total: size.links, unused: used.unusedLinks },
      complete: limits.length === 0,
      limits,
    };
  } finally {
    await engine.stop();
  }
}

function* limitsOf(
  { counts, oldest }: UsedGrants,
  { compiled: { manifest, main } }: LoadedFolder,
  saysRoles: boolean,
  from: number,
): Generator<string> {
  if (oldest === undefined) yield 'no decision that allows is in the log';
  else if (oldest > from + dayMs) {
    yield `the oldest decision is of ${new Date(oldest).toISOString()}: what was used before is not known`;
  }
  if (counts.erased > 0) yield `${count(counts.erased, 'decision')} from which the rule was erased`;
  if (!saysRoles)
    yield 'stock_engine: the set runs on stock Casbin, which does not say over which role links it came to a rule';
  else if (counts.untold > 0) {
    yield `${count(counts.untold, 'decision')} of which nobody can say over which role links: values are masked or erased, or the folder decides otherwise`;
  }
  if (isCombination(main) && main.effect === 'deny_override') {
    yield 'what is not denied is allowed: no rule that allows is asked for';
  }
  if (counts.elsewhere > 0) yield `${count(counts.elsewhere, 'decision')} by rules that the folder does not have`;
  if ((manifest.data?.roles.size ?? 0) > 0) yield 'links of live data were not looked at';
}

function report(found: Unused, { output }: UnusedOptions, terminal: Terminal): number {
  if (output === 'json') terminal.printJson(found);
  else print(found, terminal);
  return found.rules.unused.length + found.links.unused.length > 0 ? exitCodes.findings : exitCodes.fine;
}

function print({ policySet, from, decisions, rules, links, limits }: Unused, terminal: Terminal): void {
  const of = (what: string, { total, unused }: Unused['rules']) => `${unused.length} of ${count(total, what)}`;
  terminal.print(
    `${policySet}: ${of('rule', rules)} that allow and ${of('role link', links)} used by none of ${count(decisions, 'decision')} since ${from}`,
  );
  for (const { rule, file, line } of [...rules.unused, ...links.unused]) {
    terminal.print(`  ${file}:${line}  ${rule.join(', ')}`);
  }
  if (limits.length === 0) return;
  terminal.print('complete: no');
  for (const limit of limits) terminal.print(`  ${limit}`);
}

function wholeDays(text: string): number {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (days < 1 || days > 36_500) throw new InvalidArgumentError('It must be a whole number of days from 1 on.');
  return days;
}
