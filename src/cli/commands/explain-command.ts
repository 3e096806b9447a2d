import type { Command } from 'commander';
import type { Change, Explanation, RolePath } from '../../core/explanation.js';
import { PolicySet } from '../../core/policy-set.js';
import type { DecisionRequest, Json } from '../../core/request.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import type { Terminal } from '../print/terminal.js';
import { type AskedSetOptions, addAskedSetOptions, checkAskedSet, loadAskedSet } from '../sources/asked-set.js';
import { loadFolder } from '../sources/policy-folder.js';
import { addRequestOptions, askedQuestion, clockOf, type RequestOptions } from '../sources/request-options.js';
import { askForDecision, printDecision, type ShownDecision } from './decide-command.js';

interface ExplainOptions extends RequestOptions, AskedSetOptions {
  readonly output: 'text' | 'json';
  readonly plan?: true;
}

export function addExplainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('explain [folder]')
    .summary('show why a question is answered so')
    .description(
      'Shows which roles and which rule decide a question, or what is missing, and the smallest changes that would allow.\n' +
        'Exit code 0 for allow, 1 for deny. A service, with --url, explains to callers with the scope "explain".',
    );
  addAskedSetOptions(addRequestOptions(command))
    .option('--plan', 'how the rules that can match a question are found; without a question, only that')
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict explain policies/default --subject imran --action sign --resource D-0342\n' +
        '  verdict explain policies/invoices --subject alice --action approve --resource invoice:42 --attr amount=900\n' +
        '  verdict explain policies/invoices --plan\n',
    )
    .action(async (path: string | undefined, options: ExplainOptions) => {
      if (options.plan === true) {
        if (options.output === 'json') throw new UsageError('--plan is a text: --output json does not go with it');
        if (options.at !== undefined && !isQuestion(options))
          throw new UsageError('--at goes with a question: a plan is the same at any time');
        const { compiled } = await loadAskedSet(path, options);
        for (const line of new PolicySet(compiled).plan) terminal.print(line);
        if (!isQuestion(options)) return;
        terminal.print();
      }
      const answer = await explained(path, options, terminal);
      if (options.output === 'json') {
        terminal.printJson(answer);
      } else {
        printDecision(terminal, answer);
        if (answer.explanation !== undefined) printExplanation(terminal, answer.explanation);
      }
      process.exitCode = answer.decision === 'allow' ? exitCodes.fine : exitCodes.findings;
    });
}

/** A part of a question is one, so that what is missing is told. */
function isQuestion({ subject, action, resource, attr, request }: ExplainOptions): boolean {
  return [subject, action, resource, request].some((part) => part !== undefined) || attr.length > 0;
}

type Explained = ShownDecision & { readonly request?: DecisionRequest; readonly explanation?: Explanation | undefined };

async function explained(path: string | undefined, options: ExplainOptions, terminal: Terminal): Promise<Explained> {
  checkAskedSet(path, options);
  if (options.url !== undefined) return (await askForDecision(options, { explain: 'full' })) as Explained;
  const { compiled } = await loadFolder(path);
  const { request, at } = await askedQuestion(options, compiled);
  if (compiled.manifest.engine === 'casbin') {
    terminal.remark("the set runs on stock Casbin, which explains nothing: this is what Verdict's own engine says");
  }
  return {
    request,
    ...new PolicySet(compiled).decide(request, { now: clockOf({ ...(at !== undefined && { at }) }), explain: 'full' }),
  };
}

export function printExplanation(terminal: Terminal, explanation: Explanation): void {
  const { matching, nearMisses, changes, complete } = explanation;
  if (matching.length > 0) {
    heading(terminal, 'Rules that apply');
    for (const { rule, effect, file, line, roles } of matching) {
      const mark = effect === 'deny' ? terminal.style('red', '✗') : terminal.style('green', '✓');
      terminal.print(`  ${mark} ${place(terminal, file, line)}  ${rule.join(', ')}`);
      for (const path of roles) if (path.path.length > 1) terminal.print(`      ${drawPath(terminal, path)}`);
    }
  }
  if (nearMisses.length > 0) {
    heading(terminal, 'Rules that nearly apply');
    for (const { rule, file, line, failed } of nearMisses) {
      terminal.print(`  ${terminal.style('yellow', '·')} ${place(terminal, file, line)}  ${rule.join(', ')}`);
      for (const { message } of failed) terminal.print(`      ${terminal.style('yellow', message)}`);
    }
  }
  if (changes.length > 0) {
    heading(terminal, 'It would be allowed if');
    for (const { changes: needed, file, line } of changes) {
      for (const [index, change] of needed.entries()) {
        const rest = index < needed.length - 1 ? ', and' : `  ${terminal.style('dim', `(${file}:${line})`)}`;
        terminal.print(`  ${describeChange(change)}${rest}`);
      }
    }
  }
  if (complete) return;
  terminal.print();
  terminal.print(terminal.style('dim', 'There is more: an explanation looks at so many rules and no further.'));
}

/** An explanation in a few lines, below a test that failed: the reason, how the roles are held, and what would allow. */
export function printWhy(terminal: Terminal, { summary, matching, changes }: Explanation): void {
  terminal.print(`    ${summary}`);
  for (const { roles } of matching) {
    for (const path of roles) if (path.path.length > 1) terminal.print(`      ${drawPath(terminal, path)}`);
  }
  for (const { changes: needed } of changes) {
    terminal.print(`      it would be allowed if ${needed.map(describeChange).join(', and ')}`);
  }
}

function heading(terminal: Terminal, text: string): void {
  terminal.print();
  terminal.print(terminal.style('bold', text));
}

function place(terminal: Terminal, file: string, line: number): string {
  return terminal.style('dim', `${file}:${line}`);
}

/** `user:dana → nurse → clinician` */
export function drawPath(terminal: Terminal, { definition, path, domain }: RolePath): string {
  const arrows = path.join(` ${terminal.style('cyan', '→')} `);
  const where = domain === undefined ? '' : ` in ${domain}`;
  return `${arrows}${terminal.style('dim', ` (${definition}${where})`)}`;
}

function describeChange(change: Change): string {
  if (change.kind === 'role') {
    const where = change.domain === undefined ? '' : ` in ${change.domain}`;
    return `${change.name} had the role ${change.role}${where} (${change.definition})`;
  }
  const path = change.path.slice(1).replaceAll('/', '.').replace('.attributes.', '.');
  const from = change.from === undefined ? '' : ` instead of ${show(change.from)}`;
  return `${path} were ${show(change.to)}${from}`;
}

function show(value: Json): string {
  return JSON.stringify(value);
}
