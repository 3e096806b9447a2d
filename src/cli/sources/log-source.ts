/** What the commands on the decision log read: a database, or a running service. */

import type { DecisionPage } from '../../decision-log/decision-page.js';
import type { DecisionQuery } from '../../decision-log/decision-query.js';
import type { DecisionStats } from '../../decision-log/decision-stats.js';
import type { ExportQuery } from '../../decision-log/export-query.js';
import type { StatsQuery } from '../../decision-log/stats-query.js';
import type { Replay } from '../../pdp/replay.js';
import { askServer, type ServerOptions, streamFromServer } from './server.js';

export interface LogSource {
  search(query: DecisionQuery): Promise<DecisionPage>;
  export(query: ExportQuery): AsyncIterable<string | Uint8Array>;
  stats(query: StatsQuery): Promise<DecisionStats>;
  replay(id: string, version: string | undefined): Promise<Replay>;
  close(): Promise<void>;
}

/** The log of a running service, which validates queries. */
export function logOfServer(server: ServerOptions): LogSource {
  const get = (path: string, query: object) => askServer(server, 'GET', withQuery(path, query));
  return {
    search: (query) => get('/v1/decisions', query) as Promise<DecisionPage>,
    export: (query) => streamFromServer(server, withQuery('/v1/decisions/export', query)),
    stats: (query) => get('/v1/decisions/stats', query) as Promise<DecisionStats>,
    replay: (id, version) => {
      const path = `/v1/decisions/${encodeURIComponent(id)}/replay`;
      return askServer(server, 'POST', path, version === undefined ? {} : { version }) as Promise<Replay>;
    },
    close: async () => undefined,
  };
}

/** Lists are joined by commas, as `by` wants it. */
function withQuery(path: string, query: object): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
  return `${path}?${parameters}`;
}
