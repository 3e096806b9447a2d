/** What the commands on the decision log read: a database, or a running service. */
import { setTimeout as delay } from 'node:timers/promises';
import type { DecisionPage } from '../../decision-log/decision-page.js';
import type { DecisionFilters, DecisionQuery } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { DecisionStats } from '../../decision-log/decision-stats.js';
import type { ExportQuery } from '../../decision-log/export-query.js';
import { type LogWriters, untilShipped } from '../../decision-log/log-writers.js';
import type { StatsQuery } from '../../decision-log/stats-query.js';
import type { Replay } from '../../pdp/replay.js';
import { followServer } from './follow-server.js';
import { askServer, type ServerOptions, ServerRefusal, streamFromServer, withQuery } from './server.js';

export interface LogSource {
  search(query: DecisionQuery): Promise<DecisionPage>;
  export(query: ExportQuery): AsyncIterable<string | Uint8Array>;
  /**
   * The newest records that match, `lines` of them, then those that come, until `signal` says stop.
   *
   * @param onBroken hears why it does not hear of new ones for a while
   */
  follow(
    filters: DecisionFilters,
    lines: number,
    signal: AbortSignal,
    onBroken: (why: string) => void,
  ): AsyncIterable<readonly DecisionRecord[]>;
  stats(query: StatsQuery): Promise<DecisionStats>;
  replay(id: string, version: string | undefined): Promise<Replay>;
  close(): Promise<void>;
}

/** Replicas that have not shipped all that they decided, in words. */
export async function unshippedWriters(log: Pick<LogSource, 'search'>): Promise<readonly string[]> {
  return inWords((await log.search({ limit: 1 })).incomplete);
}

function inWords(incomplete: DecisionPage['incomplete'] = []): readonly string[] {
  return incomplete.map(({ writer, instance }) => `${writer} (${instance})`);
}

/** How long the log is waited for, in milliseconds: it is behind by the longest time of a batch and some seconds. */
const completeMs = 60_000;
/** How long to wait before the log is asked again, in milliseconds. */
const againMs = 200;

/**
 * Replicas of which decisions that were answered before a time may be missing in the log of a service, in words. One that runs ships
 * within a moment, and is waited for.
 *
 * @param end milliseconds since 1970, not later than now
 */
export async function unshippedOfServer(server: ServerOptions, end: number): Promise<readonly string[]> {
  const writers = () => askServer(server, 'GET', '/v1/decisions/writers') as Promise<LogWriters>;
  try {
    return (await untilShipped(end, writers)).late;
  } catch (error) {
    // A key for some policy sets alone may not read them.
    if (error instanceof ServerRefusal && error.status === 403) return unshippedBefore(logOfServer(server), end);
    throw error;
  }
}

/**
 * The same by what pages say: how far the whole log is, and which writers are silent. Of one that runs they know only when nothing
 * of that time can come any more.
 */
export async function unshippedBefore(
  log: Pick<LogSource, 'search'>,
  end: number,
  patienceMs = completeMs,
): Promise<readonly string[]> {
  const patience = performance.now() + patienceMs;
  let first: string | undefined;
  for (;;) {
    const { completeTo, incomplete } = await log.search({ limit: 1 });
    if (completeTo === undefined || Date.parse(completeTo) >= end) return [];
    const silent = inWords(incomplete);
    if (silent.length > 0) return silent;
    if (performance.now() >= patience) {
      // Where it stands still, no replica runs: what there is will not become more.
      return completeTo === first ? [] : [`(one that runs, complete to ${completeTo})`];
    }
    first ??= completeTo;
    await delay(againMs);
  }
}

/** The log of a running service, which validates queries. */
export function logOfServer(server: ServerOptions): LogSource {
  const get = (path: string, query: object) => askServer(server, 'GET', withQuery(path, query));
  return {
    search: (query) => get('/v1/decisions', query) as Promise<DecisionPage>,
    export: (query) => streamFromServer(server, withQuery('/v1/decisions/export', query)),
    follow: (filters, lines, signal, onBroken) => followServer(server, filters, lines, signal, onBroken),
    stats: (query) => get('/v1/decisions/stats', query) as Promise<DecisionStats>,
    replay: (id, version) => {
      const path = `/v1/decisions/${encodeURIComponent(id)}/replay`;
      return askServer(server, 'POST', path, version === undefined ? {} : { version }) as Promise<Replay>;
    },
    close: async () => undefined,
  };
}
