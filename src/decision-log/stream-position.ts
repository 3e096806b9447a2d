import { invalidHeader, type VerdictError } from '../errors.js';

/** Up to where somebody has seen a log: of each writer, every record up to a sequence. */
export interface StreamPosition {
  /** The log's name. A position means nothing in another one. */
  readonly log: string;
  /** Sequences by writer; of a writer that is not named, nothing was seen. */
  readonly writers: ReadonlyMap<number, number>;
}

/**
 * The `id` of an event: the position when it was sent, so that a reader that comes back with it misses no record that was
 * shipped late and gets none twice.
 */
export function encodePosition({ log, writers }: StreamPosition): string {
  let text = `1:${log}:`;
  for (const [writer, sequence] of writers) text += `${writer.toString(36)}-${sequence.toString(36)}.`;
  return text;
}

/** @throws VerdictError `invalid_request` for a text that is not a position in the log of this name */
export function decodePosition(text: string, log: string): StreamPosition {
  const parts = /^1:([0-9a-z-]{0,64}):((?:[0-9a-z]{1,7}-[0-9a-z]{1,10}\.)*)$/.exec(text);
  if (parts === null) throw foreignEventId();
  if (parts[1] !== log) throw invalidHeader(lastEventId, 'belongs to another decision log');
  const pairs = parts[2]!.split('.').slice(0, -1);
  const writers = pairs.map((pair) => pair.split('-').map((digits) => Number.parseInt(digits, 36)));
  return { log, writers: new Map(writers as [number, number][]) };
}

/** The header by which a reader says what it has seen. */
export const lastEventId = 'Last-Event-ID';

export function foreignEventId(): VerdictError {
  return invalidHeader(lastEventId, 'is not an id of an event of this service');
}
