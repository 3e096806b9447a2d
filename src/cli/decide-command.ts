import type { Command } from 'commander';
import type { Diagnostic, EngineDecision, Reason } from '../core/decision.js';
import { PolicySet } from '../core/engine/policy-set.js';
import type { Json } from '../core/request.js';
import { exitCodes } from './exit-code.js';
import { outputOption } from './options.js';
import { loadFolder } from './policy-folder.js';
import { addRequestOptions, clockOf, type RequestOptions, requestOf } from './request-options.js';
import { addServerOptions, askServer, type ServerOptions } from './server.js';
import type { Terminal } from './terminal.js';

interface DecideOptions extends RequestOptions, ServerOptions {
  readonly output: 'text' | 'json';
  readonly set?: string;
}

export function addDecideCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('decide [folder]')
    .summary('answer one question')
    .description(
      'Answers one question, from a folder or, with --url, from a service. Exit code 0 for allow, 1 for deny.',
    );
  addServerOptions(addRequestOptions(command))
    .option('--set <name>', 'with --url: the policy set')
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict decide policies/default --subject dana --action read --resource L-2231\n' +
        '  verdict decide policies/invoices --subject amara --action approve --resource invoice:new --attr amount=900\n' +
        '  verdict decide --url http://127.0.0.1:3000 --set default --request question.json\n',
    )
    .action(async (path: string | undefined, options: DecideOptions) => {
      const answer = await answerOf(path, options);
      if (options.output === 'json') terminal.print(JSON.stringify(answer, null, 2));
      else printDecision(terminal, answer);
      process.exitCode = answer.decision === 'allow' ? exitCodes.fine : exitCodes.findings;
    });
}

type Answer = Pick<EngineDecision, 'decision' | 'reason' | 'obligations' | 'errors'> & {
  readonly advice?: readonly Json[];
  readonly policyVersion?: string;
};

async function answerOf(path: string | undefined, options: DecideOptions): Promise<Answer> {
  if (options.url !== undefined) {
    const request = await requestOf(options, undefined);
    const body = { ...request, ...(options.set !== undefined && { policySet: options.set }) };
    return (await askServer(options, 'POST', '/v1/decide', body)) as Answer;
  }
  const { compiled, version } = await loadFolder(path);
  const request = await requestOf(options, compiled);
  const { decision, reason, obligations, advice, errors } = new PolicySet(compiled).decide(request, {
    now: clockOf(options),
  });
  return { decision, reason, obligations, ...(advice !== undefined && { advice }), errors, policyVersion: version };
}

export function printDecision(terminal: Terminal, { decision, reason, obligations, advice, errors }: Answer): void {
  const word = terminal.style(decision === 'allow' ? 'green' : 'red', decision.toUpperCase());
  terminal.print(`${terminal.style('bold', word)}  ${describeReason(reason)}`);
  if (reason.rule !== undefined) terminal.print(`  ${terminal.style('dim', 'rule')}  ${reason.rule.join(', ')}`);
  if (reason.message !== undefined) terminal.print(`  ${terminal.style('dim', 'says')}  ${textOf(reason.message)}`);
  for (const obligation of obligations) terminal.print(`  ${terminal.style('dim', 'must')}  ${textOf(obligation)}`);
  for (const item of advice ?? []) terminal.print(`  ${terminal.style('dim', 'hint')}  ${textOf(item)}`);
  for (const error of errors) printError(terminal, error);
}

const reasonTexts: Readonly<Record<Reason['code'], string>> = {
  rule_allowed: 'a rule allows it',
  rule_denied: 'a rule denies it',
  no_matching_rule: 'no rule allows it',
  allowed_by_default: 'no rule denies it',
  evaluation_error: 'something could not be evaluated',
  domain_conflict: 'the request and the resource name different tenants',
};

function describeReason({ code, file, line }: Reason): string {
  return `${reasonTexts[code]}${line === undefined ? '' : `: ${file}:${line}`}`;
}

function printError(terminal: Terminal, { code, message, file, line }: Diagnostic): void {
  const place = line === undefined ? '' : ` in ${file}:${line}`;
  terminal.print(`  ${terminal.style('yellow', code)}${place}: ${message}`);
}

function textOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
