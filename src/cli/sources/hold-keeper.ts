/** Keeps holds for commands: in a running service, or in its database. */
import type { HoldDescription, HoldPage } from '../../decision-log/holds/hold.js';
import type { WantedHold } from '../../decision-log/holds/hold-administration.js';
import { UsageError } from '../exit-code.js';
import { askServer, type ServerOptions, withQuery } from './server.js';

/** Makes, lists and releases holds, by calling a service or on its database. */
export interface HoldKeeper {
  add(hold: WantedHold): Promise<HoldDescription>;
  list(): Promise<readonly HoldDescription[]>;
  release(id: string): Promise<HoldDescription>;
}

/** A service, for callers with the scope `decisions:erase`. */
export function holdsOfServer(server: ServerOptions): HoldKeeper {
  return {
    add: async (hold) => (await askServer(server, 'POST', '/v1/holds', hold)) as HoldDescription,
    list: () => listHolds((path) => askServer(server, 'GET', path)),
    release: async (id) =>
      (await askServer(server, 'DELETE', `/v1/holds/${encodeURIComponent(id)}`)) as HoldDescription,
  };
}

/** All holds that a service lists, page by page. */
export async function listHolds(get: (path: string) => Promise<unknown>): Promise<HoldDescription[]> {
  const holds: HoldDescription[] = [];
  for (let cursor: string | undefined; ; ) {
    const query = { limit: 1_000, ...(cursor !== undefined && { cursor }) };
    const page = (await get(withQuery('/v1/holds', query))) as HoldPage;
    holds.push(...page.items);
    cursor = page.nextCursor;
    if (cursor === undefined) return holds;
  }
}

/**
 * Lets `work` use the holds of a database, whether its service runs or not: a running one sees a hold before it removes
 * anything.
 *
 * @throws UsageError for what the service's own administration refuses
 */
export async function withHoldsInDatabase(
  database: string,
  work: (keeper: HoldKeeper) => Promise<void>,
): Promise<void> {
  const { userInfo } = await import('node:os');
  const { describeHold } = await import('../../decision-log/holds/hold.js');
  const { HoldAdministration } = await import('../../decision-log/holds/hold-administration.js');
  const { maskCredentials } = await import('../../logging/mask-credentials.js');
  const { DatabaseError } = await import('../../database/database-error.js');
  const { VerdictError } = await import('../../errors.js');
  const { openArchive, openAuditLog, openDecisionLog, openHolds } = await import('./database.js');
  // A database that is not there is said, not made.
  await (await openDecisionLog(database)).close();
  const audit = await openAuditLog(database, {
    mask: maskCredentials,
    onProblem: (_what, error) => Promise.reject(error),
  });
  const holds = await openHolds(database);
  const archive = await openArchive(database);
  try {
    const isKnown = async (set: string) => ((await archive?.versions(set, 1))?.items.length ?? 0) > 0;
    const admin = new HoldAdministration(holds, audit, isKnown);
    const by = { name: userInfo().username, method: 'command_line', policySets: undefined };
    await work({
      add: async (hold) => describeHold(await admin.add(hold, by)),
      list: async () => (await admin.list(by)).map(describeHold),
      release: async (id) => describeHold(await admin.release(id, by)),
    });
  } catch (error) {
    if (error instanceof DatabaseError) throw new UsageError(`the database cannot be used: ${error.message}`);
    if (!(error instanceof VerdictError)) throw error;
    throw new UsageError(error.detail);
  } finally {
    await archive?.close();
    await holds.close();
    await audit.close();
  }
}
