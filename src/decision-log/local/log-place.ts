/** A place in the log of one writer: what it appends from then on lies behind it. */
export interface LogPlace {
  /** The number of the writer. */
  readonly writer: number;
  /** The sequence of its newest record. */
  readonly sequence: number;
}

/**
 * Who can say what a writer has recorded. `own`: it is this process. `away`: another one, which may have recorded more than is
 * in the log that replicas share. `ended`: all that there will ever be of it is in that log.
 */
export type WriterStanding = 'own' | 'away' | 'ended';
