import type { Command } from 'commander';
import { PolicyError } from '../../core/problem.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { outputOption } from '../options.js';
import { printDecision, type ShownDecision } from '../print/decision-report.js';
import type { Terminal } from '../print/terminal.js';
import {
  type AskedSetOptions,
  addAskedSetOptions,
  askedHere,
  checkAskedSet,
  isAskedThere,
  loadAskedSet,
} from '../sources/asked-set.js';
import { addDemandOptions, checkDemand, type DemandOptions, demandHeadersOf } from '../sources/demand-options.js';
import { addRequestOptions, askedQuestion, clockOf, type RequestOptions } from '../sources/request-options.js';
import { servedEngine } from '../sources/served-engine.js';
import { askServer } from '../sources/server.js';

interface DecideOptions extends RequestOptions, AskedSetOptions, DemandOptions {
  readonly output: 'text' | 'json';
}

export function addDecideCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('decide [folder]')
    .summary('answer one question')
    .description(
      'Answers one question, from a folder or, with --url, from a service; on an earlier version with --version or\n' +
        '--database. Exit code 0 for allow, 1 for deny.',
    );
  addDemandOptions(addAskedSetOptions(addRequestOptions(command)))
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict decide policies/default --subject dana --action read --resource L-2231\n' +
        '  verdict decide policies/invoices --subject amara --action approve --resource invoice:new --attr amount=900\n' +
        '  verdict decide --url http://127.0.0.1:3000 --set default --request question.json\n',
    )
    .action(async (path: string | undefined, options: DecideOptions) => {
      const answer = await answerOf(path, options, terminal);
      if (options.output === 'json') terminal.printJson(answer);
      else printDecision(terminal, answer);
      process.exitCode = answer.decision === 'allow' ? exitCodes.fine : exitCodes.findings;
    });
}

async function answerOf(path: string | undefined, options: DecideOptions, terminal: Terminal): Promise<ShownDecision> {
  checkAskedSet(path, options);
  if (isAskedThere(options)) {
    checkDemand(options);
    return (await askForDecision(options, {})) as ShownDecision;
  }
  const set = await loadAskedSet(path, options, (what) => terminal.remark(what));
  const { request, at } = await askedQuestion(askedHere(options), set.compiled);
  const now = clockOf({ ...(at !== undefined && { at }) });
  if (at !== undefined && set.compiled.manifest.engine === 'casbin')
    throw new UsageError('a time has no effect: the set runs on stock Casbin, which has no clock');
  const engine = await servedEngine(set).catch(doesNotLoad);
  const { decision, reason, obligations, advice, errors } = await engine.decide(request, now);
  await engine.stop();
  return { decision, reason, obligations, ...(advice !== undefined && { advice }), errors, policyVersion: set.version };
}

function doesNotLoad(error: unknown): never {
  throw error instanceof PolicyError ? new UsageError(error.message) : error;
}

/** The answer of a service. A time can be given only if the policy set allows requests to set the clock. */
export async function askForDecision(
  options: RequestOptions & AskedSetOptions & DemandOptions,
  also: { readonly explain?: 'full' },
): Promise<unknown> {
  const { request, tokens, set: policySet, at, demand } = await askedQuestion(options, undefined);
  const named = { ...(policySet !== undefined && { policySet }), ...(at !== undefined && { at }) };
  return askServer(
    options,
    'POST',
    '/v1/decide',
    { ...request, ...(tokens !== undefined && { tokens }), ...named, ...demand, ...also },
    demandHeadersOf(options, demand),
  );
}
