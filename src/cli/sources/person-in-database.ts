/** What is kept about a person in a service's database. It loads database drivers: import it when needed. */
import type { AuditLog } from '../../audit/audit-log.js';
import { describeKey } from '../../auth/key-description.js';
import { DatabaseError } from '../../database/database-error.js';
import { describeHold } from '../../decision-log/holds/hold.js';
import { VerdictError } from '../../errors.js';
import { maskCredentials } from '../../logging/mask-credentials.js';
import type { Attributed, LiveDataStore } from '../../policy-store/data/live-data-store.js';
import {
  describeDatabase,
  hasDatabase,
  openAuditLog,
  openDecisionLog,
  openHolds,
  openLiveData,
  openManagedKeys,
} from './database.js';
import type { DescribedKey } from './key-keeper.js';
import { type PersonStores, UnreadableStore } from './person-source.js';

const pageSize = 1_000;
/** Entities that are read at once: they can be large. */
const entitiesAtOnce = 32;

/**
 * Opens the stores of a database, which may be in use. Each is opened when it is asked; no record is written.
 *
 * @param database an SQLite file or a `postgres://` URL
 * @throws UsageError when there is no decision log
 */
export async function personStoresOfDatabase(database: string): Promise<PersonStores> {
  const log = await openDecisionLog(database);
  const opened: { close(): Promise<void> }[] = [log];
  const keep = <Store extends { close(): Promise<void> } | undefined>(store: Store): Store => {
    if (store !== undefined) opened.push(store);
    return store;
  };
  const isThere = hasDatabase(database);
  const inDatabase = async <Result>(read: () => Promise<Result>): Promise<Result> => {
    if (isThere) return readable(read);
    throw new UnreadableStore(`there is no database ${describeDatabase(database)} beside the log`);
  };
  let audit: AuditLog | undefined;
  let data: LiveDataStore | undefined;
  return {
    decisions: (about) => log.export({ about }),
    auditEvents: (about, cursor) =>
      inDatabase(async () => {
        audit ??= keep(
          await openAuditLog(database, { mask: maskCredentials, onProblem: (_what, error) => Promise.reject(error) }),
        );
        return audit.search({ about, limit: pageSize, ...(cursor !== undefined && { cursor }) });
      }),
    policySets: () =>
      inDatabase(async () => {
        data ??= keep(await openLiveData(database));
        return (await data?.heads())?.map(({ name }) => name) ?? [];
      }),
    roles: async function* (set) {
      let after: Parameters<LiveDataStore['roles']>[3];
      for (;;) {
        const found = (await readable(async () => data?.roles(set, {}, pageSize, after))) ?? [];
        for (const { role, ...entry } of found) yield { role, ...attributionOf(entry) };
        if (found.length < pageSize) return;
        after = found.at(-1)!.role;
      }
    },
    entities: async function* (set) {
      let after: Parameters<LiveDataStore['entities']>[3];
      for (;;) {
        const found = (await readable(async () => data?.entities(set, {}, entitiesAtOnce, after))) ?? [];
        for (const { entity, ...entry } of found) yield { ...entity, ...attributionOf(entry) };
        if (found.length < entitiesAtOnce) return;
        after = found.at(-1)!.entity;
      }
    },
    keys: () =>
      inDatabase(async () => {
        const keys = keep(await openManagedKeys(database));
        return (await keys.list()).map(describeKey) as readonly DescribedKey[];
      }),
    holds: () => inDatabase(async () => (await keep(await openHolds(database)).list()).map(describeHold)),
    close: async () => {
      for (const store of opened.reverse()) await store.close();
    },
  };
}

function attributionOf({ by, at, revision }: Attributed) {
  return { addedBy: by, addedAt: new Date(at).toISOString(), revision };
}

/** A store that cannot be read is said, and the others are read all the same. */
async function readable<Result>(read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DatabaseError) throw new UnreadableStore(`it cannot be read: ${error.message}`);
    if (error instanceof VerdictError) throw new UnreadableStore(error.detail);
    throw error;
  }
}
