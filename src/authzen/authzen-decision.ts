/** Answers to AuthZEN callers (sections 5.5 and 7.2.1). */
import { JSONSchema } from 'class-validator-jsonschema';
import { DecisionFault, DecisionReason } from '../answers/decision-parts.js';
import { Flag, Integer, ListOfAnything, OneOf, Part, Parts, Text, TextsByName } from '../answers/members.js';
import type { Diagnostic, Reason } from '../core/decision.js';
import type { Json } from '../core/request.js';
import type { VerdictError } from '../errors.js';
import type { DecisionAnswer } from '../pdp/decision-answer.js';

/** Texts by language tag. */
type Localised = Readonly<Record<string, string>>;

export class DecisionContext {
  @Text({ description: 'Under this id the decision is in the decision log.' })
  readonly id!: string;

  @Text()
  readonly policy_set!: string;

  @Text()
  readonly policy_version!: string;

  @Integer({ optional: true, description: 'Of the policy set at its source, where that gives revisions.' })
  readonly revision?: number;

  @OneOf(['canary'], { optional: true, description: "Given when the policy set's candidate answered." })
  readonly candidate?: 'canary';

  @Part(() => DecisionReason)
  readonly reason!: Reason;

  @TextsByName({ description: 'By language tag.' })
  readonly reason_admin!: Localised;

  @TextsByName({
    optional: true,
    description: 'What the `reason` column of the deciding rule says; of a deny at least that it is one.',
  })
  readonly reason_user?: Localised;

  @ListOfAnything({ optional: true })
  readonly obligations?: readonly Json[];

  @ListOfAnything({ optional: true })
  readonly advice?: readonly Json[];

  @Parts(() => DecisionFault, { optional: true })
  readonly errors?: readonly Diagnostic[];
}

export class ItemFailure {
  @Integer()
  readonly status!: number;

  @Text()
  readonly message!: string;
}

/** Why one item of a batch could not be evaluated. */
export class FailureContext {
  @Part(() => ItemFailure)
  readonly error!: ItemFailure;
}

@JSONSchema({ description: '`decision: true` and nothing else may go forward.' })
export class AuthzenDecision {
  @Flag()
  readonly decision!: boolean;

  @Part(() => [DecisionContext, FailureContext])
  readonly context!: DecisionContext | FailureContext;
}

/** The answers to the items of a batch, in their order. */
export class AuthzenDecisions {
  @Parts(() => AuthzenDecision)
  readonly evaluations!: readonly AuthzenDecision[];
}

const deniedMessage: Localised = Object.freeze({ en: 'You may not do this.' });

/** The PDP's answer in AuthZEN's words. Lists that are empty are left out. */
export function authzenDecision(answer: DecisionAnswer): AuthzenDecision {
  const { allowed, reason, obligations, advice, errors } = answer;
  // Without object spreads, which would cost more than the rest of this function.
  const context: Writable<DecisionContext> = {
    id: answer.decisionId,
    policy_set: answer.policySet,
    policy_version: answer.policyVersion,
    reason,
    reason_admin: { en: adminReason(answer) },
  };
  const userReason = reason.message === undefined ? undefined : localised(reason.message);
  if (answer.revision !== undefined) context.revision = answer.revision;
  if (answer.candidate !== undefined) context.candidate = answer.candidate;
  if (userReason !== undefined) context.reason_user = userReason;
  else if (!allowed) context.reason_user = deniedMessage;
  if (obligations.length > 0) context.obligations = obligations;
  if (advice !== undefined && advice.length > 0) context.advice = advice;
  if (errors.length > 0) context.errors = errors;
  return { decision: allowed, context };
}

type Writable<Value> = { -readonly [Name in keyof Value]: Value[Name] };

/** The denial for an item that could not be evaluated. */
export function failedDecision({ status, detail }: VerdictError): AuthzenDecision {
  return { decision: false, context: { error: { status, message: detail } } };
}

/** A rule may give its reason as a text, or as an object of texts by language tag. */
function localised(message: Json): Localised | undefined {
  if (typeof message === 'string') return { en: message };
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined;
  return Object.values(message).every((text) => typeof text === 'string') ? (message as Localised) : undefined;
}

function adminReason({ reason, errors }: DecisionAnswer): string {
  const { code, file, line } = reason;
  const place = file === undefined ? '' : ` at ${file}:${line}`;
  switch (code) {
    case 'rule_allowed':
      return `Allowed by the rule${place}.`;
    case 'rule_denied':
      return `Denied by the rule${place}.`;
    case 'no_matching_rule':
      return 'No rule matches.';
    case 'allowed_by_default':
      return 'No rule denies.';
    case 'evaluation_error':
      return `The evaluation failed: ${errors[0]?.message ?? 'see errors'}${place}.`;
    case 'domain_conflict':
      return 'The request names two different domains.';
    case 'unknown_entity':
      return 'The request names an entity that is not known.';
    case 'schema_violation':
      return `The request does not fit the schema: ${errors[0]?.message ?? 'see errors'}.`;
    case 'step_budget_exceeded':
      return 'The evaluation takes too many steps.';
    case 'obligation_unsupported':
      return `A rule allows it${place} with an obligation, and ${errors.at(-1)?.message ?? 'the caller does not execute it'}.`;
    default:
      return code satisfies never;
  }
}
