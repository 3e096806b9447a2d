import type { Command } from 'commander';
import { Option } from 'commander';
import type { HoldDescription } from '../../decision-log/holds/hold.js';
import { collect } from '../options.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { type HoldKeeper, holdsOfServer, withHoldsInDatabase } from '../sources/hold-keeper.js';
import { addLogSource, type LogOptions } from './log-reading.js';

interface HoldOptions {
  readonly policySet?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly tz?: string;
  readonly reason: string;
}

/** Adds `verdict log hold`. `readDatabase` is asked where neither `--database` nor `--url` is given. */
export function addHold(log: Command, terminal: Terminal, readDatabase: () => Promise<string>): void {
  const hold = log.command('hold').summary('keep decisions from retention and erasure');

  addLogSource(hold.command('add'))
    .description(
      'Keeps the decisions of policy sets and of a range of time from retention and from the erasure of persons, until it\n' +
        'is released. What is stored with them in one file, or one day in PostgreSQL, is kept from retention with them.',
    )
    .requiredOption('--reason <text>', 'why')
    .option('--policy-set <name>', 'decisions of this policy set; can be repeated. Without it those of all', collect)
    .option('--from <time>', 'from this time on (RFC 3339), or from this day on: 2026-03-03')
    .option('--to <time>', 'before this time, or up to the end of this day. Without it also what is to come')
    .option('--tz <zone>', 'time zone of days: Europe/Zurich; without it UTC')
    .addOption(output())
    .addHelpText(
      'after',
      examples('add --policy-set invoices --from 2026-03-01 --to 2026-03-31 --reason "case 2026-117"'),
    )
    .action((options: HoldOptions & LogOptions) => {
      const { policySet: policySets, from, to, tz, reason } = options;
      const wanted = {
        ...(policySets !== undefined && { policySets }),
        ...(from !== undefined && { from }),
        ...(to !== undefined && { to }),
        ...(tz !== undefined && { tz }),
        reason,
      };
      return use(options, async (keeper) => printOne(await keeper.add(wanted), options));
    });

  addLogSource(hold.command('list'))
    .description('Lists the holds in force, the newest first, then those that were released.')
    .addOption(output())
    .addHelpText('after', examples('list'))
    .action((options: LogOptions) =>
      use(options, async (keeper) => {
        const holds = await keeper.list();
        if (isForPeople(options)) printTable(terminal, head, holds.map(rowOf));
        else terminal.printJson(holds);
      }),
    );

  addLogSource(hold.command('release').argument('<id>', 'id of the hold'))
    .description(
      'Releases a hold. What it alone kept from retention goes within minutes, and the erasures that it kept back are\n' +
        'carried out.',
    )
    .addOption(output())
    .addHelpText('after', examples('release 8b0f6c2e-5f0e-4c1e-9d6e-0c3f4f6f2a11'))
    .action((id: string, options: LogOptions) =>
      use(options, async (keeper) => printOne(await keeper.release(id), options)),
    );

  async function use(options: LogOptions, work: (keeper: HoldKeeper) => Promise<void>): Promise<void> {
    const { url, database } = options;
    if (url !== undefined) return work(holdsOfServer({ url }));
    await withHoldsInDatabase(database ?? (await readDatabase()), work);
  }

  function printOne(one: HoldDescription, options: LogOptions): void {
    if (isForPeople(options)) printTable(terminal, head, [rowOf(one)]);
    else terminal.printJson(one);
  }

  function isForPeople({ output: format }: LogOptions): boolean {
    return format === undefined ? terminal.isTTY : format === 'text';
  }
}

const head = ['ID', 'STATE', 'SETS', 'FROM', 'TO', 'BY', 'REASON'];

function rowOf({ id, released, policySets, from, to, by, reason }: HoldDescription): string[] {
  const state = released === undefined ? 'in force' : `released ${released}`;
  return [id, state, policySets?.join(' ') ?? 'all', from ?? '', to ?? '', by, reason];
}

function output(): Option {
  return new Option('--output <format>', 'text on a terminal, otherwise json').choices(['text', 'json']);
}

function examples(line: string): string {
  return `\nExamples:\n  verdict log hold ${line}\n`;
}
