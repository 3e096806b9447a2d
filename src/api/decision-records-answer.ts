import { Integer, Parts, Text } from '../answers/members.js';
import type { RefusedRecord, TakenRecords } from '../pdp/local-records/sent-records.js';

/** A record that was not taken. Its number is used up: to send it again changes nothing. */
export class RefusedRecordAnswer implements Omit<RefusedRecord, 'code'> {
  @Integer()
  readonly number!: number;

  @Text({ description: 'Such as `policy_version_not_found`.' })
  readonly code!: string;

  @Text()
  readonly message!: string;
}

export class DecisionRecordsAnswer implements Omit<TakenRecords, 'refused'> {
  @Integer({
    description:
      'All records with lower numbers are in the decision log, or are a gap in it. Those from here on are to be sent again, if there are any.',
  })
  readonly next!: number;

  @Integer({ description: 'How many of those that were taken now say otherwise than the policy does.' })
  readonly disputed!: number;

  @Parts(() => RefusedRecordAnswer)
  readonly refused!: readonly RefusedRecordAnswer[];
}
