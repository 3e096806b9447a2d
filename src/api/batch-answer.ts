import { JSONSchema } from 'class-validator-jsonschema';
import { Part, Parts } from '../answers/members.js';
import { Problem } from '../http/problem.js';
import { DecisionAnswer } from '../pdp/decision-answer.js';

@JSONSchema({ description: 'What a batch has in the place of a decision, for a request that could not be answered.' })
export class BatchProblem {
  @Part(() => Problem)
  readonly problem!: Problem;
}

export class BatchAnswer {
  @Parts(() => [DecisionAnswer, BatchProblem], { description: 'In the order of the requests.' })
  readonly decisions!: readonly (DecisionAnswer | BatchProblem)[];
}
