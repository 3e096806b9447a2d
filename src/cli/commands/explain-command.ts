import type { Command } from 'commander';
import type { Explanation } from '../../core/explanation.js';
import { PolicySet } from '../../core/policy-set.js';
import type { DecisionRequest } from '../../core/request.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { printDecision, type ShownDecision } from '../print/decision-report.js';
import { printExplanation } from '../print/explanation-report.js';
import type { Terminal } from '../print/terminal.js';
import {
  type AskedSetOptions,
  addAskedSetOptions,
  askedHere,
  checkAskedSet,
  isAskedThere,
  loadAskedSet,
} from '../sources/asked-set.js';
import { addDemandOptions, checkDemand, type DemandOptions } from '../sources/demand-options.js';
import { addRequestOptions, askedQuestion, clockOf, type RequestOptions } from '../sources/request-options.js';
import { askForDecision } from './decide-command.js';

interface ExplainOptions extends RequestOptions, AskedSetOptions, DemandOptions {
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
  addDemandOptions(addAskedSetOptions(addRequestOptions(command)))
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
        const { compiled } = await loadAskedSet(path, options, (what) => terminal.remark(what));
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

/** True if any part of a question is given, so that missing parts are reported. */
function isQuestion({ subject, action, resource, attr, token, request }: ExplainOptions): boolean {
  return [subject, action, resource, request].some((part) => part !== undefined) || attr.length + token.length > 0;
}

type Explained = ShownDecision & { readonly request?: DecisionRequest; readonly explanation?: Explanation | undefined };

async function explained(path: string | undefined, options: ExplainOptions, terminal: Terminal): Promise<Explained> {
  checkAskedSet(path, options);
  if (isAskedThere(options)) {
    checkDemand(options);
    return (await askForDecision(options, { explain: 'full' })) as Explained;
  }
  const { compiled } = await loadAskedSet(path, options, (what) => terminal.remark(what));
  const { request, at } = await askedQuestion(askedHere(options), compiled);
  if (compiled.manifest.engine === 'casbin') {
    terminal.remark("the set runs on stock Casbin, which explains nothing: this is what Verdict's own engine says");
  }
  return {
    request,
    ...new PolicySet(compiled).decide(request, { now: clockOf({ ...(at !== undefined && { at }) }), explain: 'full' }),
  };
}
