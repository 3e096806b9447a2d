/** `who-can`, `what-can` and `access-review`: the engine decides for every known subject, action and resource. */
import type { Command } from 'commander';
import { type ListedPermission, type ReviewQuery, reviewAccessInSteps } from '../../core/analysis/access-review.js';
import { walk } from '../../core/matcher/ast.js';
import { type Combination, isCombination } from '../../core/policy/combination.js';
import type { CompiledPolicySet } from '../../core/policy/compile.js';
import { expressionsOf } from '../../core/policy/expressions.js';
import type { JsonObject } from '../../core/request.js';
import { UsageError } from '../exit-code.js';
import { collect, outputOption, positiveInteger } from '../options.js';
import { actionText, contextText, witnessedText } from '../print/permission-text.js';
import { count } from '../print/report.js';
import { printTable } from '../print/table.js';
import type { Terminal } from '../print/terminal.js';
import { type AskedSetOptions, addAskedSetOptions, loadAskedSet } from '../sources/asked-set.js';
import { clockOf, parseEntity, readAttribute, setAt } from '../sources/request-options.js';

interface SearchOptions extends AskedSetOptions {
  readonly subject?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly attr: readonly string[];
  readonly at?: string;
  readonly maxQuestions: number;
  readonly output: 'text' | 'json' | 'csv';
}

/** Default limit of decisions; they take a few seconds. */
const defaultMaxQuestions = 1_000_000;

export function addWhoCanCommand(program: Command, terminal: Terminal): void {
  addSearch(program, terminal, 'who-can', {
    summary: 'list who may do something',
    description: 'Lists every subject that may do an action with a resource, and through which role and rule.',
    examples: ['who-can policies/default --action read --resource L-2231', 'who-can policies/default --action sign'],
    needs: ['action'],
  });
}

export function addWhatCanCommand(program: Command, terminal: Terminal): void {
  addSearch(program, terminal, 'what-can', {
    summary: 'list what somebody may do',
    description: 'Lists every action and resource that a subject may do, and through which role and rule.',
    examples: [
      'what-can policies/default --subject user:dana',
      'what-can policies/default --subject dana --action read',
    ],
    needs: ['subject'],
  });
}

export function addAccessReviewCommand(program: Command, terminal: Terminal): void {
  addSearch(program, terminal, 'access-review', {
    summary: 'list everything that everybody may do',
    description: 'Lists every permission of a policy set: subject, action, resource, through which role and rule.',
    examples: ['access-review policies/default', 'access-review policies/default --output csv > review.csv'],
    needs: [],
  });
}

interface Search {
  readonly summary: string;
  readonly description: string;
  readonly examples: readonly string[];
  readonly needs: readonly ('subject' | 'action')[];
}

function addSearch(program: Command, terminal: Terminal, name: string, search: Search): void {
  const command = program
    .command(`${name} [folder]`)
    .summary(search.summary)
    .description(
      `${search.description}\nAsked about are the known entities, what the rules name, and one name for each kind of names that they do not;\n` +
        'what could not be enumerated is said at the end, with "complete: no". With --url or --database it is what a service serves, or once did (--version, --at).',
    );
  addAskedSetOptions(command)
    .option('--subject <[type:]id>', 'only this subject')
    .option('--action <name>', 'only this action')
    .option('--resource <[type:]id>', 'only this resource')
    .option(
      '--attr <name=value>',
      "one of the request's own attributes, any number of times; a value that is JSON is read as JSON",
      collect,
      [],
    )
    .option(
      '--at <time>',
      'the clock of the decisions, RFC 3339; with --url or --database also the version that served then',
    )
    .option('--max-questions <number>', 'stop after so many decisions', positiveInteger, defaultMaxQuestions)
    .addOption(outputOption('text', 'json', 'csv'))
    .addHelpText('after', `\nExamples:\n${search.examples.map((line) => `  verdict ${line}\n`).join('')}`)
    .action(async (path: string | undefined, options: SearchOptions) => {
      for (const need of search.needs) if (options[need] === undefined) throw new UsageError(`${name} needs --${need}`);
      const { compiled } = await loadAskedSet(path, options, (what) => terminal.remark(what));
      searchFolder(compiled, options, terminal);
    });
}

function searchFolder(compiled: CompiledPolicySet, options: SearchOptions, terminal: Terminal): void {
  const now = clockOf(options);
  const { maxQuestions } = options;
  const steps = reviewAccessInSteps(compiled, queryOf(options, compiled), { now, maxQuestions });
  const { permissions, examined, complete, limits, rolesLeftOut } = terminal.finish('asking', steps);
  switch (options.output) {
    case 'json':
      terminal.printJson({ permissions: permissions.map(jsonOf), examined, complete, limits, rolesLeftOut });
      break;
    case 'csv':
      for (const row of [head, ...permissions.map(rowOf)]) terminal.print(row.map(csvField).join(','));
      for (const limit of limits) terminal.remark(`not complete: ${limit}`);
      break;
    case 'text': {
      if (permissions.length > 0) printTable(terminal, head, permissions.map(rowOf));
      if (permissions.length > 0) terminal.print();
      terminal.print(`${count(permissions.length, 'permission')} in ${count(examined, 'question')}`);
      terminal.print(`complete: ${complete ? 'yes' : 'no'}`);
      for (const limit of limits) terminal.print(terminal.style('dim', `  ${limit}`));
      if (rolesLeftOut > 0) {
        terminal.print(
          terminal.style('dim', `  ${count(rolesLeftOut, 'name')} of roles left out: roles are held, they do not ask`),
        );
      }
      break;
    }
    default:
      options.output satisfies never;
  }
}

/** What the options name. They may name what the policies do not. */
function queryOf({ subject, action, resource, attr }: SearchOptions, compiled: CompiledPolicySet): ReviewQuery {
  const attributes = contextOf(attr, compiled);
  return {
    ...(subject !== undefined && { subject: parseEntity(subject) }),
    ...(action !== undefined && { action }),
    ...(resource !== undefined && { resource: parseEntity(resource) }),
    ...(attr.length > 0 && { attributes }),
  };
}

/** The request's own attributes, as `decide` reads them. Those that no policy reads are refused. */
function contextOf(attr: readonly string[], compiled: CompiledPolicySet): JsonObject {
  const context: JsonObject = {};
  for (const given of attr) {
    const { owner, path, value } = readAttribute(given, compiled);
    const name = path[0] as string;
    if (owner !== 'attributes') {
      const hint = `attributes of ${owner === 'action' ? 'actions cannot be given' : `${owner}s are those of entities.yaml`}; \`verdict decide\` asks with others`;
      throw new UsageError(`--attr ${given}: the policies read ${name} of the ${owner}`, hint);
    }
    if (!readsContext(name, compiled)) throw new UsageError(`--attr ${given}: the policies do not read ${name}`);
    setAt(context, path, value);
  }
  return context;
}

/** Whether an attribute of the request can be read: by a binding, by a token of its name, or below `env`. */
function readsContext(name: string, { main }: CompiledPolicySet): boolean {
  if (!isCombination(main)) return true;
  return main.tokens.some(({ token, role, line, readAsValue }) => {
    const paths = line === undefined ? [] : line.kind === 'path' ? [line.path] : line.parts;
    const isBound = paths.some(
      (path) => typeof path === 'object' && path.root === 'attributes' && path.steps[0] === name,
    );
    if (isBound || (line === undefined && role === 'domain' && name === 'tenant')) return true;
    if (role === 'attribute') return token === name;
    return role === 'environment' && (readAsValue || readsBelow(token, name, main));
  });
}

function readsBelow(token: string, name: string, main: Combination): boolean {
  let reads = false;
  for (const expression of expressionsOf(main)) {
    walk(expression, (part) => {
      if (part.kind === 'attribute' && part.name === `${main.request.key}_${token}` && part.path[0] === name)
        reads = true;
    });
  }
  return reads;
}

const head: readonly string[] = ['subject', 'action', 'resource', 'with', 'if', 'through', 'rule', 'at'];

function rowOf({
  path,
  rule,
  file,
  line,
  subject,
  action,
  resource,
  context,
  witness,
  ...found
}: ListedPermission): readonly string[] {
  const through = path.slice(1).join(' → ');
  return [
    witnessedText(subject, witness?.subject),
    actionText(action, witness?.action),
    witnessedText(resource, witness?.resource),
    contextText(context, witness?.context),
    found.if ?? '',
    through,
    rule?.join(', ') ?? '',
    file === undefined ? '' : `${file}:${line}`,
  ];
}

function jsonOf({ subject, action, resource, context, by: _, ...found }: ListedPermission): object {
  return { subject, action, resource, context, ...found };
}

/** An apostrophe keeps a spreadsheet from reading a field as a formula. */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
