import type { Command } from 'commander';
import { parseRuleLine } from '../../core/casbin/rules-document.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { quote } from '../../core/quote.js';
import type { JsonObject } from '../../core/request.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { collect, outputOption } from '../options.js';
import { entityText } from '../print/entity-text.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { isRefusedChange, sendDataChange, type WrittenData } from '../sources/data-changes.js';
import { faultInLink } from '../sources/data-file.js';
import { managementPathOf } from '../sources/policy-versions.js';
import { parseEntity, readNamedValue, setAt } from '../sources/request-options.js';
import { addServerOptions, askServer, type ServerOptions } from '../sources/server.js';
import { addDataImportCommand } from './data-import-command.js';

interface DataOptions extends ServerOptions {
  readonly output: 'text' | 'json';
}

interface ChangeOptions extends DataOptions {
  readonly entity: readonly string[];
  readonly expect?: string;
  readonly key?: string;
}

interface ListOptions extends DataOptions {
  readonly entities?: true;
  readonly definition?: string;
  readonly name?: string;
  readonly role?: string;
  readonly domain?: string;
  readonly type?: string;
  readonly id?: string;
}

/** An entry of live data, with who added it and when. */
interface Listed {
  readonly addedBy: string;
  readonly addedAt: string;
  readonly revision: number;
}

type ListedLink = Listed & { readonly role: readonly string[] };
type ListedEntity = Listed & StoredEntity;

/** The live data of a set that a running service serves. */
export function addDataCommand(program: Command, terminal: Terminal): void {
  const data = program.command('data').summary('see and change the live data of a running service');

  const add = changing('add', 'Adds role links and entities to the live data of a policy set, all of them or none.')
    .option(
      '--attr <name=value>',
      'an attribute of the one entity, any number of times. A value that is JSON is read as JSON',
      collect,
      [],
    )
    .addHelpText(
      'after',
      '\nExamples:\n' +
        "  verdict data add invoices 'g, user:ana, editor' --url http://127.0.0.1:3000\n" +
        '  verdict data add invoices --entity user:ana --attr level=3 --url http://127.0.0.1:3000\n',
    );
  add.action((set: string, links: string[], options: ChangeOptions & { readonly attr: readonly string[] }) => {
    const entities = options.entity.map((text) => ({ ...readEntityName(text), attributes: {} as JsonObject }));
    if (options.attr.length > 0 && entities.length !== 1) {
      throw new UsageError(`--attr is for one --entity, and there are ${entities.length}`);
    }
    for (const given of options.attr) {
      const { path, value } = readNamedValue(given);
      setAt(entities[0]!.attributes, path, value);
    }
    return change(set, { add: { roles: links.map(readLink), entities } }, options);
  });

  const remove = changing(
    'remove',
    'Removes role links and entities from the live data of a policy set, all of them or none. What a file has stays.',
  ).addHelpText(
    'after',
    "\nExample:\n  verdict data remove invoices 'g, user:ana, editor' --url http://127.0.0.1:3000\n",
  );
  remove.action((set: string, links: string[], options: ChangeOptions) =>
    change(set, { remove: { roles: links.map(readLink), entities: options.entity.map(readEntityName) } }, options),
  );

  const list = data
    .command('list <set>')
    .description(
      'Lists the role links of the live data of a policy set, or its entities, with who added each and when.',
    )
    .option('--entities', 'entities instead of role links')
    .option('--definition <key>', 'links of this role definition: g')
    .option('--name <name>', 'links of this name: user:ana')
    .option('--role <name>', 'links to this role')
    .option('--domain <name>', 'links in this domain')
    .option('--type <type>', 'entities of this type')
    .option('--id <id>', 'entities with this id');
  addServerOptions(list)
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExample:\n  verdict data list invoices --role editor --url http://127.0.0.1:3000\n')
    .action(async (set: string, options: ListOptions) => {
      if (options.entities === true) await listEntities(set, options);
      else await listLinks(set, options);
    });

  addDataImportCommand(data, terminal);

  function changing(name: string, description: string): Command {
    const command = data
      .command(`${name} <set> [links...]`)
      .description(`${description} A link is written as a line of a rules file. Exit code 1 when it is refused.`)
      .option('--entity <type:id>', 'an entity; can be repeated', collect, [])
      .option('--expect <revision>', 'the revision that the set must have')
      .option('--key <text>', 'the same command with the same key is carried out once within a day');
    return addServerOptions(command).addOption(outputOption('text', 'json'));
  }

  async function change(set: string, sent: SentChange, options: ChangeOptions): Promise<void> {
    const { roles, entities } = (sent.add ?? sent.remove)!;
    if (roles.length + entities.length === 0) {
      throw new UsageError('say what: a link such as "g, user:ana, editor", or --entity user:ana');
    }
    if (options.expect !== undefined && !/^[1-9]\d{0,14}$/.test(options.expect)) {
      throw new UsageError(`--expect is "${options.expect}": say a revision such as 7`);
    }
    const headers = {
      ...(options.expect !== undefined && { 'if-match': `"${options.expect}"` }),
      ...(options.key !== undefined && { 'idempotency-key': options.key }),
    };
    try {
      print(await sendDataChange(options, set, sent, headers), options);
    } catch (error) {
      if (!isRefusedChange(error)) throw error;
      const problems = error.faults.length > 0 ? error.faults : [error.hint ?? error.message];
      if (options.output === 'json') terminal.printJson({ set, result: 'refused', problems });
      else for (const problem of problems) terminal.print(`${set}: ${problem}`);
      process.exitCode = exitCodes.findings;
    }
  }

  function print(written: WrittenData, { output }: DataOptions): void {
    if (output === 'json') terminal.printJson(written);
    else {
      const { set, revision, added, removed } = written;
      terminal.print(`${set} at revision ${revision}: ${added} added, ${removed} removed`);
    }
  }

  async function listLinks(set: string, options: ListOptions): Promise<void> {
    refuseOthers(options, ['type', 'id'], '--entities');
    const { definition, name, role, domain } = options;
    const items = await readList<ListedLink>(options, `${managementPathOf(set)}/roles`, {
      definition,
      name,
      role,
      domain,
    });
    if (options.output === 'json') terminal.printJson(items);
    else {
      const rows = items.map(({ role: link, ...entry }) => [link.map(csvField).join(', '), ...attribution(entry)]);
      printTable(terminal, ['link', ...attributionHead], rows);
    }
  }

  async function listEntities(set: string, options: ListOptions): Promise<void> {
    refuseOthers(options, ['definition', 'name', 'role', 'domain'], 'role links');
    const { type, id } = options;
    const items = await readList<ListedEntity>(options, `${managementPathOf(set)}/entities`, { type, id });
    if (options.output === 'json') terminal.printJson(items);
    else {
      const rows = items.map(({ attributes, ...entity }) => [
        entityText(entity),
        JSON.stringify(attributes),
        ...attribution(entity),
      ]);
      printTable(terminal, ['entity', 'attributes', ...attributionHead], rows);
    }
  }
}

/** A change as the commands send it: it adds, or it removes. */
interface SentChange {
  readonly add?: { readonly roles: readonly (readonly string[])[]; readonly entities: readonly StoredEntity[] };
  readonly remove?: {
    readonly roles: readonly (readonly string[])[];
    readonly entities: readonly { readonly type: string; readonly id: string }[];
  };
}

/** `g, user:ana, editor` as a line of a rules file. */
function readLink(text: string): readonly string[] {
  const faults: string[] = [];
  const line = parseRuleLine(text, '', 1, ({ message }) => faults.push(message));
  const fault = line === undefined ? faults[0] : faultInLink(line.ptype, line.fields)?.message;
  if (line !== undefined && fault === undefined) return [line.ptype, ...line.fields];
  throw new UsageError(
    `${quote(text)} is no role link: ${fault ?? 'it is empty'}`,
    'for example "g, user:ana, editor"',
  );
}

function readEntityName(text: string): { readonly type: string; readonly id: string } {
  const { type, id } = parseEntity(text);
  if (type === undefined) throw new UsageError(`--entity ${text} has no type`, 'for example --entity user:ana');
  return { type, id };
}

function refuseOthers(options: ListOptions, names: readonly (keyof ListOptions)[], of: string): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given !== undefined) throw new UsageError(`--${given} goes with ${of}`);
}

/** All pages of a list. */
async function readList<Item>(
  server: ServerOptions,
  path: string,
  filters: Readonly<Record<string, string | undefined>>,
): Promise<readonly Item[]> {
  const query = new URLSearchParams({ limit: '1000' });
  for (const [name, value] of Object.entries(filters)) if (value !== undefined) query.set(name, value);
  const items: Item[] = [];
  for (;;) {
    const page = (await askServer(server, 'GET', `${path}?${query}`)) as {
      readonly items: readonly Item[];
      readonly nextCursor?: string;
    };
    for (const item of page.items) items.push(item);
    if (page.nextCursor === undefined) return items;
    query.set('cursor', page.nextCursor);
  }
}

const attributionHead = ['added by', 'at', 'revision'];

function attribution({ addedBy, addedAt, revision }: Listed): string[] {
  return [addedBy, addedAt, String(revision)];
}

/** A column as a rules file has it. */
function csvField(text: string): string {
  return /^\s|[",]|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
