import { Integer, OneOf, Parts, Text, Time } from '../answers/members.js';
import { VerdictError } from '../errors.js';

/** A replica's journal, as a log that replicas share knows it. */
export class LogWriter {
  @Integer({ description: 'Its number in this log.' })
  readonly writer!: number;

  @Text({ description: 'The name of its journal: 128 random bits in hexadecimal.' })
  readonly journal!: string;

  @Text({ description: 'The name of the replica.' })
  readonly instance!: string;

  @OneOf(['running', 'silent', 'stopped', 'retired'], {
    description:
      '`silent`: it was not heard of for ten seconds, and may have decided more than it shipped; `stopped`: it ended with ' +
      'all shipped; `retired`: it was given up.',
  })
  readonly state!: 'running' | 'silent' | 'stopped' | 'retired';

  @Time({ description: 'When it was last heard of.' })
  readonly heard!: string;

  @Integer({ description: 'The sequence of its newest record, as it last said.' })
  readonly decided!: number;

  @Integer({ description: 'Every record of it up to this sequence is in the log.' })
  readonly shipped!: number;

  @Integer({ description: 'How many records it is known to have decided that are not in the log.' })
  readonly missing!: number;

  @Time({ description: 'Nothing from before this time will come from it any more.' })
  readonly completeTo!: string;
}

/** How complete a log is that replicas share. */
export class LogWriters {
  @Time({ description: 'Before this time nothing more will come from any writer that is not retired.' })
  readonly completeTo!: string;

  @Parts(() => LogWriter)
  readonly writers!: readonly LogWriter[];
}

/** The writers that hold `completeTo` back and may not come back. */
export function incompleteOf({ writers }: LogWriters): LogWriter[] {
  return writers.filter(({ state }) => state === 'silent');
}

/** @param writer its number, or what a caller named instead of one */
export function writerNotFound(writer: number | string): VerdictError {
  return new VerdictError('writer_not_found', `There is no writer "${writer}" in the decision log.`);
}

/** @param silentMs how long ago it was heard of, in milliseconds */
export function writerRunning(writer: number, silentMs: number): VerdictError {
  const heard = `was heard of ${Math.round(silentMs / 1000)} s ago`;
  return new VerdictError('writer_running', `Writer ${writer} ${heard}; only one that has ended can be retired.`);
}
