/** The bodies of `/v1/decide` and `/v1/decide/batch`: each class is the type, the validation and the OpenAPI schema. */
import { IsIn, IsRFC3339 } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { SignedTokens } from '../auth/question-tokens.js';
import type { Action, Entity, JsonObject } from '../core/request.js';
import {
  IsAttributes,
  IsBatch,
  IsDefaultsOf,
  IsDuration,
  IsId,
  IsIdOr,
  IsRevisions,
  IsTokens,
  Optional,
} from '../http/request-rules.js';
import type { RevisionsBySet } from '../pdp/demand.js';
import { type Explain, explanationLevels, type Question } from '../pdp/question.js';

@JSONSchema({ description: 'Who asks, or what is asked for.' })
export class EntityBody implements Entity {
  @Optional()
  @IsId()
  readonly type?: string;

  @IsId()
  readonly id!: string;

  @Optional()
  @IsAttributes()
  readonly attributes?: JsonObject;
}

@JSONSchema({ description: 'What would be done.' })
export class ActionBody implements Action {
  @IsId()
  readonly name!: string;

  @Optional()
  @IsAttributes()
  readonly attributes?: JsonObject;
}

@JSONSchema({ description: 'What is asked.' })
export class AskedRequest {
  @IsIdOr(EntityBody)
  readonly subject!: string | EntityBody;

  @IsIdOr(ActionBody)
  readonly action!: string | ActionBody;

  @IsIdOr(EntityBody)
  readonly resource!: string | EntityBody;

  @Optional()
  @IsAttributes()
  @JSONSchema({ description: 'Attributes of the situation: tenant, address, channel…' })
  readonly attributes?: JsonObject;

  @Optional()
  @IsRFC3339()
  @JSONSchema({
    description:
      'The time to decide for: where the policy set says `clock: request`, or the caller has scope `explain`.',
  })
  readonly at?: string;
}

@JSONSchema({
  description: 'May this subject do this action on this resource?',
  examples: [
    {
      subject: { type: 'user', id: 'alice', attributes: { department: 'sales' } },
      action: 'approve',
      resource: { type: 'invoice', id: '42', attributes: { amount: 900 } },
      attributes: { ip: '10.0.0.7' },
      policySet: 'invoices',
    },
  ],
})
export class DecideRequest extends AskedRequest implements Question {
  @Optional()
  @IsTokens()
  @JSONSchema({
    description:
      'Signed tokens (JWT) by the names that the policy set declares. They are verified by the configured issuers; what is ' +
      'evaluated and recorded are the claims in them, never the tokens.',
  })
  readonly tokens?: SignedTokens;

  @Optional()
  @IsId()
  @JSONSchema({ description: 'Default: the configured set, the set named default, or the only one.' })
  readonly policySet?: string;

  @Optional()
  @IsIn(explanationLevels)
  @JSONSchema({ description: 'How much of the reason the answer carries; brief by default.' })
  readonly explain?: Explain;

  @Optional()
  @IsRevisions()
  @JSONSchema({
    description:
      'The revision that the policy set must have at the least, or revisions by policy set, of which that of the set that ' +
      'answers counts. An older one does not answer: after a moment the refusal is 503 `policy_too_old`.',
  })
  readonly atLeast?: number | RevisionsBySet;

  @Optional()
  @IsDuration()
  @JSONSchema({
    description:
      'How long ago, such as `30s`, the source of the policy set may have been confirmed last; otherwise the refusal is 503 ' +
      '`policy_too_old`. More than the service accepts by itself has no effect.',
  })
  readonly maxStaleness?: string;
}

@JSONSchema({ description: 'Many questions at once; all are answered from one version of each policy set.' })
export class DecideBatchRequest {
  @Optional()
  @IsDefaultsOf(DecideRequest)
  @JSONSchema({ description: 'Members that requests which lack them take from here, each as a whole.' })
  readonly defaults?: JsonObject;

  @IsBatch(DecideRequest)
  @JSONSchema({ description: 'Each is a DecideRequest once the defaults are added.' })
  readonly requests!: readonly unknown[];
}
