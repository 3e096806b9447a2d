import { Parts, Text, Time } from '../answers/members.js';
import { DecisionRecord } from './decision-record.js';
import { LogGap } from './log-gap.js';

/** The answer to a `DecisionQuery`. */
export class DecisionPage {
  @Parts(() => DecisionRecord, { description: 'Newest first.' })
  readonly items!: readonly DecisionRecord[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;

  @Time({
    optional: true,
    description:
      'Given when the budget ran out before the page was full: every record from this time on was looked at, and ' +
      '`nextCursor` goes on from there.',
  })
  readonly searchedTo?: string;

  @Parts(() => LogGap, {
    optional: true,
    description: 'Records that are missing among those that were looked at; not given when there are none.',
  })
  readonly gaps?: readonly LogGap[];
}
