import { Flag, Integer, Part, Parts, SomeOf, Text, Time } from '../answers/members.js';
import { LogGap } from './log-gap.js';
import { type TallyField, tallyFields } from './tally.js';

/** One count: the fields that it is by are those of `by` that were told apart. */
export class StatsItem implements Partial<Record<TallyField, string>> {
  @Time({ optional: true, description: 'When the bucket begins.' })
  readonly time?: string;

  @Integer()
  readonly count!: number;

  @SomeOf(tallyFields, {
    optional: true,
    description: 'Fields of `by` that are missing here, since their values were too many to be kept apart.',
  })
  readonly other?: readonly TallyField[];

  @Text({ optional: true })
  readonly policySet?: string;

  @Text({ optional: true })
  readonly policyVersion?: string;

  @Text({ optional: true })
  readonly decision?: string;

  @Text({ optional: true })
  readonly reason?: string;

  @Text({ optional: true })
  readonly caller?: string;
}

export class IdCount {
  @Text()
  readonly id!: string;

  @Integer()
  readonly count!: number;
}

/** The ids that decisions are about most often. */
export class TopIds {
  @Parts(() => IdCount, { description: 'The most frequent first, and among equals in order of their ids.' })
  readonly ids!: readonly IdCount[];

  @Integer({ description: 'How many records were counted.' })
  readonly examined!: number;

  @Time({
    optional: true,
    description: 'Given when that were not all that match: those from this time on were counted.',
  })
  readonly searchedTo?: string;
}

/** The answer to a `StatsQuery`. */
export class DecisionStats {
  @Parts(() => StatsItem, { description: 'In order of time, then the most frequent first.' })
  readonly items!: readonly StatsItem[];

  @Integer()
  readonly total!: number;

  @Integer({
    optional: true,
    description:
      'Decisions that are not in `total` and may belong there: they pass all filters but one on a field whose values ' +
      'were too many to be kept apart. Not given when there are none.',
  })
  readonly uncertain?: number;

  @Flag({
    optional: true,
    description: 'False while counts are being made anew: some decisions since `countedTo` are missing here.',
  })
  readonly complete?: false;

  @Time({ optional: true })
  readonly countedTo?: string;

  @Parts(() => LogGap, {
    optional: true,
    description:
      'Decisions of this time that are not in the counts, since they are missing from the log or cannot be read; the ' +
      'newest first. Not given when there are none.',
  })
  readonly gaps?: readonly LogGap[];

  @Part(() => TopIds, { optional: true, description: 'Given where `top` asks for it.' })
  readonly top?: TopIds;
}
