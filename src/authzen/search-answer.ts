/** Answers of searches (section 8). */
import { Flag, Integer, ListOfAnything, OneOf, Part, Parts, Text } from '../answers/members.js';

import type { Json } from '../core/request.js';

const stops = ['limit', 'budget'] as const;

export class SearchExtent {
  @Flag({ description: 'Whether every candidate that a rule could allow was decided, with the pages before.' })
  readonly complete!: boolean;

  @OneOf(stops, { optional: true })
  readonly stopped_by?: (typeof stops)[number];

  @Integer({ description: 'How many candidates were decided for this page.' })
  readonly examined!: number;

  @Integer({
    optional: true,
    description: 'How many names of rules were not tried since they are names of roles; left out when none was.',
  })
  readonly roles_left_out?: number;
}

export class SearchPageInfo {
  @Text({ description: 'Empty when there is nothing left to look at.' })
  readonly next_token!: string;

  @Integer()
  readonly count!: number;

  @Part(() => SearchExtent)
  readonly properties!: SearchExtent;
}

export class SearchContext {
  @Text({ description: 'Under this id the search is in the decision log.' })
  readonly id!: string;

  @Text()
  readonly policy_set!: string;

  @Text()
  readonly policy_version!: string;

  @Integer({ optional: true, description: 'Of the policy set at its source, where that gives revisions.' })
  readonly revision?: number;
}

/** What must be done before this one result may be shown. */
export class FoundContext {
  @ListOfAnything({ description: 'In the form of the draft on obligations: `{id, type, properties}`.' })
  readonly obligations!: readonly Json[];
}

export class FoundEntity {
  @Text()
  readonly type!: string;

  @Text()
  readonly id!: string;

  @Part(() => FoundContext, { optional: true })
  readonly context?: FoundContext;
}

export class FoundAction {
  @Text()
  readonly name!: string;

  @Part(() => FoundContext, { optional: true })
  readonly context?: FoundContext;
}

class SearchAnswer {
  @Part(() => SearchPageInfo)
  readonly page!: SearchPageInfo;

  @Part(() => SearchContext)
  readonly context!: SearchContext;
}

/** The answer of a subject search or a resource search. */
export class EntitySearchAnswer extends SearchAnswer {
  @Parts(() => FoundEntity)
  readonly results!: readonly FoundEntity[];
}

export class ActionSearchAnswer extends SearchAnswer {
  @Parts(() => FoundAction)
  readonly results!: readonly FoundAction[];
}
