/**
 * Requests of AuthZEN callers (OpenID AuthZEN Authorization API 1.0, sections 5 to 7): each class is the type, the
 * validation and the OpenAPI schema. Members that they do not name are ignored (10.1.1).
 */
import 'reflect-metadata';
import { IsIn, IsObject, ValidateNested } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { Action, Entity, JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import { IsAttributes, IsBatch, IsDefault, IsId, Optional } from '../http/request-rules.js';
import type { Demand } from '../pdp/demand.js';
import type { Question } from '../pdp/question.js';

@JSONSchema({ description: 'A subject or a resource; the id is unique within the type.' })
export class AuthzenEntity {
  @IsId()
  readonly type!: string;

  @IsId()
  readonly id!: string;

  @Optional()
  @IsAttributes()
  readonly properties?: JsonObject;
}

@JSONSchema({ description: 'What would be done.' })
export class AuthzenAction {
  @IsId()
  readonly name!: string;

  @Optional()
  @IsAttributes()
  readonly properties?: JsonObject;
}

@JSONSchema({
  description: 'May this subject do this action on this resource?',
  examples: [
    {
      subject: { type: 'user', id: 'alice', properties: { department: 'sales' } },
      action: { name: 'approve' },
      resource: { type: 'invoice', id: '42', properties: { amount: 900 } },
      context: { ip: '10.0.0.7' },
    },
  ],
})
export class EvaluationRequest {
  @ValidateNested()
  readonly subject!: AuthzenEntity;

  @ValidateNested()
  readonly action!: AuthzenAction;

  @ValidateNested()
  readonly resource!: AuthzenEntity;

  @Optional()
  @IsAttributes()
  readonly context?: JsonObject;
}

export const evaluationSemantics = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
export type EvaluationSemantic = (typeof evaluationSemantics)[number];

export class EvaluationsOptions {
  @Optional()
  @IsIn(evaluationSemantics)
  @JSONSchema({
    description: 'After which answer the rest is not asked; the response is then shorter than the request.',
  })
  readonly evaluations_semantic?: EvaluationSemantic;
}

/**
 * Defaults are only checked to be objects here. An incomplete one is an error of the items that inherit it, and of no
 * others.
 */
@JSONSchema((schema, { refPointerPrefix }) => {
  const description = 'Many questions at once; members at the top are defaults, each replaced as a whole by an item.';
  if (refPointerPrefix === '') return { ...schema, description };
  // Without items the defaults are one question and must be complete. The OpenAPI document shows the ordinary form
  // alone: generators make nothing useful of a schema that says both.
  const evaluations = { ...schema.properties?.evaluations, minItems: 1 };
  return { ...schema, description, properties: { ...schema.properties, evaluations }, required: ['evaluations'] };
})
export class EvaluationsRequest {
  @Optional()
  @IsDefault(AuthzenEntity)
  readonly subject?: JsonObject;

  @Optional()
  @IsDefault(AuthzenAction)
  readonly action?: JsonObject;

  @Optional()
  @IsDefault(AuthzenEntity)
  readonly resource?: JsonObject;

  @Optional()
  @IsObject()
  readonly context?: JsonObject;

  @Optional()
  @IsBatch(EvaluationRequest)
  @JSONSchema({ description: 'Each is an EvaluationRequest once the defaults are added. Without any: one evaluation.' })
  readonly evaluations?: readonly unknown[];

  @Optional()
  @ValidateNested()
  readonly options?: EvaluationsOptions;
}

export const evaluationShapes = [
  AuthzenEntity,
  AuthzenAction,
  EvaluationRequest,
  EvaluationsOptions,
  EvaluationsRequest,
] as const;

/**
 * The same question in the words of the PDP: properties are attributes, the context is the top-level attributes. How fresh
 * the policy set must be, headers say.
 */
export function questionOf(
  { subject, action, resource, context }: EvaluationRequest,
  policySet: string,
  { atLeast, maxStaleness }: Demand,
  negotiatesObligations: boolean,
): Question {
  const own = entityOf(subject);
  const done = actionOf(action);
  const target = entityOf(resource);
  // Without object spreads, which would cost more than the rest of this function.
  if (context === undefined)
    return { subject: own, action: done, resource: target, policySet, atLeast, maxStaleness, negotiatesObligations };
  return {
    subject: own,
    action: done,
    resource: target,
    attributes: context,
    policySet,
    atLeast,
    maxStaleness,
    negotiatesObligations,
  };
}

/** The same error with pointers into the AuthZEN request. */
export function inAuthzenWords(error: unknown): unknown {
  if (!(error instanceof VerdictError) || error.code !== 'invalid_request') return error;
  const errors = (error.extra.errors ?? []).map(({ pointer, detail }) => ({
    pointer: pointer.replace(/^\/attributes/, '/context').replace(/^(\/[a-z]+)\/attributes/, '$1/properties'),
    detail,
  }));
  return new VerdictError(error.code, error.detail, { ...error.extra, errors });
}

export function entityOf({ type, id, properties }: AuthzenEntity): Entity {
  return properties === undefined ? { type, id } : { type, id, attributes: properties };
}

export function actionOf({ name, properties }: AuthzenAction): Action {
  return properties === undefined ? { name } : { name, attributes: properties };
}
