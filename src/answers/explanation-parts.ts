/** A full explanation (`core/explanation.ts`), as classes. */
import type {
  Change,
  ExplainedRule,
  Explanation,
  FailedTerm,
  MatchingRule,
  NearMiss,
  RolePath,
  SmallestChange,
} from '../core/explanation.js';
import type { Json } from '../core/request.js';
import { Anything, Flag, Integer, OneOf, Parts, Text, Texts } from './members.js';

class RuleShown implements ExplainedRule {
  @Texts({ description: 'The rule, its type first.' })
  readonly rule!: readonly string[];

  @Text()
  readonly effect!: string;

  @Text()
  readonly file!: string;

  @Integer()
  readonly line!: number;
}

export class HeldRole implements RolePath {
  @Text()
  readonly definition!: string;

  @Texts({ description: 'From who holds the role to the role.' })
  readonly path!: readonly string[];

  @Text({ optional: true })
  readonly domain?: string;
}

export class RuleThatMatches extends RuleShown implements MatchingRule {
  @Parts(() => HeldRole)
  readonly roles!: readonly RolePath[];
}

export class OperandRead {
  @Text()
  readonly text!: string;

  @Anything()
  readonly value!: Json;
}

export class TermThatFailed implements FailedTerm {
  @Text({ description: 'A term of the matcher, or of a condition of the rule, that did not hold.' })
  readonly term!: string;

  @Parts(() => OperandRead)
  readonly operands!: readonly OperandRead[];

  @Text()
  readonly message!: string;
}

export class RuleThatNearlyMatches extends RuleShown implements NearMiss {
  @Parts(() => TermThatFailed)
  readonly failed!: readonly FailedTerm[];
}

export class RequestChange {
  @OneOf(['request'])
  readonly kind!: 'request';

  @Text()
  readonly path!: string;

  @Anything({ optional: true })
  readonly from?: Json;

  @Anything()
  readonly to!: Json;
}

export class RoleChange {
  @OneOf(['role'])
  readonly kind!: 'role';

  @Text()
  readonly definition!: string;

  @Text({ description: 'Who would hold the role.' })
  readonly name!: string;

  @Text()
  readonly role!: string;

  @Text({ optional: true })
  readonly domain?: string;
}

export class RuleWithinReach extends RuleShown implements SmallestChange {
  @Parts(() => [RequestChange, RoleChange])
  readonly changes!: readonly Change[];
}

export class DecisionExplanation implements Explanation {
  @Text({ description: 'One sentence for a person: why, and for a deny what was missing.' })
  readonly summary!: string;

  @Parts(() => RuleThatMatches)
  readonly matching!: readonly MatchingRule[];

  @Parts(() => RuleThatNearlyMatches)
  readonly nearMisses!: readonly NearMiss[];

  @Parts(() => RuleWithinReach, { description: 'What would allow. Each was verified by deciding again.' })
  readonly changes!: readonly SmallestChange[];

  @Flag({ description: 'False when there were more rules, or more to tell, than an explanation holds.' })
  readonly complete!: boolean;
}
