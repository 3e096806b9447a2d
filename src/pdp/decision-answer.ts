import { JSONSchema } from 'class-validator-jsonschema';
import { DecisionFault, DecisionReason, effects } from '../answers/decision-parts.js';
import { DecisionExplanation } from '../answers/explanation-parts.js';
import { Flag, Integer, ListOfAnything, OneOf, Part, Parts, Text } from '../answers/members.js';
import type { Diagnostic, Effect, Reason } from '../core/decision.js';
import type { Explanation } from '../core/explanation.js';
import type { Json } from '../core/request.js';

/** The answer to a question, as callers get it. */
@JSONSchema({ description: 'The answer; it may go forward only if `allowed` is true.' })
export class DecisionAnswer {
  @Flag()
  readonly allowed!: boolean;

  @OneOf(effects)
  readonly decision!: Effect;

  @Text({ description: 'Under this id the decision is in the decision log (UUIDv7).' })
  readonly decisionId!: string;

  @Text()
  readonly policySet!: string;

  @Text({ description: 'Digest of the policy set that it was computed from: `sha256:` and 64 hexadecimal digits.' })
  readonly policyVersion!: string;

  @Integer({
    optional: true,
    description: 'The revision of the policy set that it was computed from, where its source gives revisions.',
  })
  readonly revision?: number | undefined;

  @OneOf(['canary'], {
    optional: true,
    description: "Given when the policy set's candidate answered: `policyVersion` is its version.",
  })
  readonly candidate?: 'canary' | undefined;

  @Part(() => DecisionReason, { description: 'Why. `explain: none` leaves only the code.' })
  readonly reason!: Reason;

  @ListOfAnything({ description: 'What the caller must do when it acts on the answer; from the deciding rule.' })
  readonly obligations!: readonly Json[];

  @ListOfAnything({ optional: true })
  readonly advice?: readonly Json[] | undefined;

  @Parts(() => DecisionFault, {
    description: 'What went wrong while deciding. An error never turns a deny into an allow.',
  })
  readonly errors!: readonly Diagnostic[];

  @Part(() => DecisionExplanation, {
    optional: true,
    description: 'With `explain: full`: all that matched, what nearly did, and what would change the answer.',
  })
  readonly explanation?: Explanation | undefined;
}
