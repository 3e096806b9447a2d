import { IsArray, IsBoolean, IsIn, IsObject, IsOptional, IsString } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { Diagnostic, Effect, Reason } from '../core/decision.js';
import type { Explanation } from '../core/explanation.js';
import type { Json } from '../core/request.js';

/** What a caller gets for a question. The class is also its OpenAPI schema. */
@JSONSchema({ description: 'The answer; it may go forward only if `allowed` is true.' })
export class DecisionAnswer {
  @IsBoolean()
  readonly allowed!: boolean;

  @IsIn(['allow', 'deny'])
  readonly decision!: Effect;

  @IsString()
  @JSONSchema({ description: 'Under this id the decision is in the decision log (UUIDv7).' })
  readonly decisionId!: string;

  @IsString()
  readonly policySet!: string;

  @IsString()
  @JSONSchema({ description: 'Digest of the policy set that it was computed from.', examples: ['sha256:9f86d0…'] })
  readonly policyVersion!: string;

  @IsObject()
  @JSONSchema({
    description: 'Why. `explain: none` leaves only the code.',
    properties: {
      code: {
        type: 'string',
        enum: [
          'rule_allowed',
          'rule_denied',
          'no_matching_rule',
          'allowed_by_default',
          'evaluation_error',
          'domain_conflict',
          'unknown_entity',
          'schema_violation',
          'step_budget_exceeded',
        ],
      },
      rule: { type: 'array', items: { type: 'string' }, description: 'The deciding rule, its type first.' },
      file: { type: 'string' },
      line: { type: 'integer' },
      message: { description: "What the deciding rule's own `reason` column says." },
    },
    required: ['code'],
  })
  readonly reason!: Reason;

  @IsArray()
  @JSONSchema({ description: 'What the caller must do when it acts on the answer; from the deciding rule.' })
  readonly obligations!: readonly Json[];

  @IsOptional()
  @IsArray()
  readonly advice?: readonly Json[] | undefined;

  @IsArray()
  @JSONSchema({
    description: 'What went wrong while deciding. An error never turns a deny into an allow.',
    items: {
      type: 'object',
      properties: {
        code: { type: 'string' },
        message: { type: 'string' },
        pointer: { type: 'string', description: 'Where in the request, as a JSON pointer.' },
      },
      required: ['code', 'message'],
    },
  })
  readonly errors!: readonly Diagnostic[];

  @IsOptional()
  @IsObject()
  @JSONSchema({
    description: 'With `explain: full`: all that matched, what nearly did, and what would change the answer.',
  })
  readonly explanation?: Explanation | undefined;
}
