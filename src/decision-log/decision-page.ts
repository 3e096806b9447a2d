import { Integer, Parts, Text, Time } from '../answers/members.js';
import { DecisionRecord } from './decision-record.js';
import { LogGap } from './log-gap.js';
import { LogWriter } from './log-writers.js';

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

  @Integer({
    optional: true,
    description:
      'Records that `filter` could say nothing of, since an attribute that it reads is missing or masked: they do not ' +
      'match. Counted among those that were looked at for this page and pass the other filters; not given when there are none.',
  })
  readonly erred?: number;

  @Parts(() => LogGap, {
    optional: true,
    description: 'Records that are missing among those that were looked at; not given when there are none.',
  })
  readonly gaps?: readonly LogGap[];

  @Time({
    optional: true,
    description:
      'Given by a log that replicas share: before this time nothing more will come, so that pages of it never change.',
  })
  readonly completeTo?: string;

  @Parts(() => LogWriter, {
    optional: true,
    description: 'Writers that hold `completeTo` back and may not come back; not given when there are none.',
  })
  readonly incomplete?: readonly LogWriter[];
}
