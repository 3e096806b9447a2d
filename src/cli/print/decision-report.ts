/** Prints a decision for people. */
import type { Diagnostic, EngineDecision, Reason } from '../../core/decision.js';
import type { Json } from '../../core/request.js';
import type { Terminal } from './terminal.js';

/** A decision, by the engine or in a service's answer. */
export type ShownDecision = Pick<EngineDecision, 'decision' | 'reason' | 'obligations' | 'errors'> & {
  readonly advice?: readonly Json[];
  readonly policyVersion?: string;
};

export function printDecision(
  terminal: Terminal,
  { decision, reason, obligations, advice, errors }: ShownDecision,
): void {
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
  unknown_entity: 'the request names an entity that is not stored',
  schema_violation: 'the request does not fit schema.yaml',
  step_budget_exceeded: 'it takes more steps than an evaluation may',
  obligation_unsupported: 'the caller does not say that it executes an obligation',
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
