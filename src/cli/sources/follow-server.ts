import { setTimeout as delay } from 'node:timers/promises';
import type { DecisionPage } from '../../decision-log/decision-page.js';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import { askServer, type ServerOptions, ServerRefusal, streamFromServer, withQuery } from './server.js';

/** Pause before a stream is opened again, in milliseconds. */
const pauseMs = 1_000;

/**
 * The newest records that match, then those that come, as a service streams them, until `signal` says stop. A stream that
 * breaks off is opened again behind the last event, so no record is missing or comes twice.
 *
 * @param onBroken hears why a stream broke off
 * @throws ServerRefusal for what the service refuses, UsageError when it cannot be reached at first
 */
export async function* followServer(
  server: ServerOptions,
  filters: DecisionFilters,
  lines: number,
  signal: AbortSignal,
  onBroken: (why: string) => void,
): AsyncGenerator<readonly DecisionRecord[]> {
  const path = withQuery('/v1/decisions/stream', filters);
  const shown = new Set<string>();
  let isFirst = true;
  let lastEventId: string | undefined;
  for (;;) {
    try {
      const headers: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
      for await (const { id, records } of eventsOf(streamFromServer(server, path, headers, signal))) {
        lastEventId = id ?? lastEventId;
        if (isFirst) {
          // Read when the stream has begun, so that nothing lies between the two; what both have is shown once.
          isFirst = false;
          if (lines > 0) {
            const query = withQuery('/v1/decisions', { ...filters, limit: lines });
            const { items } = (await askServer(server, 'GET', query)) as DecisionPage;
            for (const record of items) shown.add(record.id);
            yield items.toReversed();
          }
        }
        const fresh = records.filter((record) => !shown.has(record.id));
        if (fresh.length > 0) yield fresh;
      }
      if (!signal.aborted) onBroken('the service ended the stream');
    } catch (error) {
      if (signal.aborted) return;
      // Before it ever was a stream, trying again would only hide what is wrong.
      if (isFirst || (error instanceof ServerRefusal && error.status < 500 && error.status !== 429)) throw error;
      onBroken((error as Error).message);
    }
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
  }
}

interface ServerEvents {
  /** The id of the last one. */
  readonly id: string | undefined;
  readonly records: readonly DecisionRecord[];
}

/** The events of a stream, some at a time, as they arrive. */
async function* eventsOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvents> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of pieces) {
    const blocks = (rest + decoder.decode(piece, { stream: true })).split('\n\n');
    rest = blocks.pop()!;
    let id: string | undefined;
    const records: DecisionRecord[] = [];
    for (const block of blocks) {
      for (const line of block.split('\n')) {
        if (line.startsWith('id: ')) id = line.slice('id: '.length);
        else if (line.startsWith('data: ')) records.push(JSON.parse(line.slice('data: '.length)));
      }
    }
    if (blocks.length > 0) yield { id, records };
  }
}
