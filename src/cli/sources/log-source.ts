/** What the commands on the decision log read: a database, or a running service. */

import type { DecisionPage } from '../../decision-log/decision-page.js';
import type { DecisionFilters, DecisionQuery } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { DecisionStats } from '../../decision-log/decision-stats.js';
import type { ExportQuery } from '../../decision-log/export-query.js';
import type { StatsQuery } from '../../decision-log/stats-query.js';
import type { Replay } from '../../pdp/replay.js';
import { followServer } from './follow-server.js';
import { askServer, type ServerOptions, streamFromServer, withQuery } from './server.js';

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
  const { incomplete = [] } = await log.search({ limit: 1 });
  return incomplete.map(({ writer, instance }) => `${writer} (${instance})`);
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
