import { setTimeout as delay } from 'node:timers/promises';
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

/**
 * The writers of which decisions that were answered before a time may be missing, as people read them. A replica that runs ships
 * within a moment, and is waited for: what it says in the step after the one that it was heard of then is of a later moment, and all
 * that it had decided by that is here.
 *
 * @param end milliseconds since 1970; not later than now
 * @param read the state of the writers now; whatever it gives was read at one time with that
 */
export async function untilShipped<State extends { readonly writers: readonly LogWriter[] }>(
  end: number,
  read: () => Promise<State>,
): Promise<{ readonly state: State; readonly late: readonly string[] }> {
  const patience = performance.now() + shippingMs;
  const heardAt = new Map<number, string>();
  /** How far those had decided that were heard of after the time. */
  const wanted = new Map<number, number>();
  for (;;) {
    const state = await read();
    const late = state.writers.filter((writer) => {
      if (writer.state === 'stopped' || writer.state === 'retired' || Date.parse(writer.completeTo) >= end)
        return false;
      const { writer: number, heard, completeTo, decided, shipped } = writer;
      const at = heardAt.get(number);
      if (at === undefined && Date.parse(heard) > end) heardAt.set(number, completeTo);
      if (at !== undefined && at !== completeTo && !wanted.has(number)) wanted.set(number, decided);
      return shipped < (wanted.get(number) ?? Number.POSITIVE_INFINITY);
    });
    if (late.every(({ state }) => state === 'silent') || performance.now() >= patience)
      return { state, late: late.map(({ writer, instance }) => `${writer} (${instance})`) };
    await delay(againMs);
  }
}

/** How long a replica that runs is waited for, in milliseconds: then it counts as silent. */
const shippingMs = 10_000;
/** How long to wait before it is asked again, in milliseconds. */
const againMs = 200;

/** @param writer its number, or what a caller named instead of one */
export function writerNotFound(writer: number | string): VerdictError {
  return new VerdictError('writer_not_found', `There is no writer "${writer}" in the decision log.`);
}

/** @param silentMs how long ago it was heard of, in milliseconds */
export function writerRunning(writer: number, silentMs: number): VerdictError {
  const heard = `was heard of ${Math.round(silentMs / 1000)} s ago`;
  return new VerdictError('writer_running', `Writer ${writer} ${heard}; only one that has ended can be retired.`);
}
