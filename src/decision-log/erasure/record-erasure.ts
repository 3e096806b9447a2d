/** What a record says of the erasures that removed something from it. */
import { Parts, Text, Time } from '../../answers/members.js';

export class ErasureMark {
  @Text({ description: 'The id of the erasure.' })
  readonly id!: string;

  @Time({ description: 'When it was ordered.' })
  readonly time!: string;
}

export class RecordErasure {
  @Parts(() => ErasureMark, { description: 'The erasures, in the order in which they were carried out.' })
  readonly erasures!: readonly ErasureMark[];

  @Text({
    optional: true,
    description:
      'The signature of the log over the record as it is now: it stands in for the hash that proved the record before. Left ' +
      'out where nothing proved the record.',
  })
  readonly signature?: string;
}
