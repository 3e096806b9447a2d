/** The answer of `who-can`, `what-can` and `access-review` of a policy set. */
import { Flag, Integer, OpenObject, Part, Parts, Text, Texts, TextsByName, Time } from '../answers/members.js';
import type { ListedPermission } from '../core/analysis/access-review.js';
import type { Entity, JsonObject } from '../core/request.js';

export class ReviewedEntity {
  @Text({ optional: true })
  readonly type?: string;

  @Text()
  readonly id!: string;
}

export class WitnessWords {
  @Text({ optional: true })
  readonly type?: string;

  @Text({ optional: true })
  readonly id?: string;
}

export class WitnessParts {
  @Part(() => WitnessWords, { optional: true })
  readonly subject?: WitnessWords;

  @Text({ optional: true })
  readonly action?: string;

  @Part(() => WitnessWords, { optional: true })
  readonly resource?: WitnessWords;

  @TextsByName({ optional: true })
  readonly context?: Readonly<Record<string, string>>;
}

export class PermissionAnswer {
  @Part(() => ReviewedEntity)
  readonly subject!: ReviewedEntity;

  @Text()
  readonly action!: string;

  @Part(() => ReviewedEntity)
  readonly resource!: ReviewedEntity;

  @OpenObject({ description: "The request's own attributes under which it holds." })
  readonly context!: JsonObject;

  @Text({
    optional: true,
    description:
      'The condition under which it holds, over attributes that are neither stored nor given; left out if always.',
  })
  readonly if?: string;

  @Texts({ description: 'From the subject to the role in the rule; empty if the rule needs no role.' })
  readonly path!: readonly string[];

  @Texts({ optional: true, description: 'The rule that allows, its type first.' })
  readonly rule?: readonly string[];

  @Text({ optional: true })
  readonly file?: string;

  @Integer({ optional: true })
  readonly line?: number;

  @Part(() => WitnessParts, {
    optional: true,
    description: 'For whom it stands beside what it names, in words: `any other`, or the patterns that match.',
  })
  readonly witness?: WitnessParts;
}

export class AccessReviewAnswer {
  @Text()
  readonly policySet!: string;

  @Text()
  readonly policyVersion!: string;

  @Integer({ optional: true })
  readonly revision?: number;

  @Time({ description: 'The clock of the decisions.' })
  readonly clock!: string;

  @Parts(() => PermissionAnswer)
  readonly permissions!: readonly PermissionAnswer[];

  @Integer({ description: 'How many questions were asked.' })
  readonly examined!: number;

  @Flag({ description: 'Whether the list covers every case that the engine can decide.' })
  readonly complete!: boolean;

  @Texts({ description: 'What was not enumerated, with its place; empty if it is complete.' })
  readonly limits!: readonly string[];

  @Integer({ description: 'How many names were not asked about since they are names of roles.' })
  readonly rolesLeftOut!: number;
}

export function permissionAnswer({
  subject,
  action,
  resource,
  context,
  path,
  rule,
  file,
  line,
  witness,
  ...found
}: ListedPermission): PermissionAnswer {
  return {
    subject: entityAnswer(subject),
    action,
    resource: entityAnswer(resource),
    context,
    ...(found.if !== undefined && { if: found.if }),
    path,
    ...(rule !== undefined && { rule }),
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
    ...(witness !== undefined && { witness }),
  };
}

function entityAnswer({ type, id }: Entity): ReviewedEntity {
  return type === undefined ? { id } : { type, id };
}
