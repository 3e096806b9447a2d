import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { isSemantics } from '../../../core/semantics.js';
import { ChangeCounters } from '../../../database/postgres/change-counters.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import { BundleError } from '../bundle-error.js';
import { readIndexedBundle } from '../bundle-index.js';
import { BundlePins, type SharedPin } from '../bundle-pins.js';
import type { FetchedBundle } from '../fetch-bundle.js';
import { bundlePinTable } from './migrations/1764400000080-bundle-pins.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

interface PinRow {
  readonly name: string;
  readonly bundle: string;
  readonly semantics: number;
  readonly over: string;
  readonly number: number;
  readonly ended: number | null;
}

/** The rollbacks of all replicas, in PostgreSQL. */
export class PostgresBundlePins extends BundlePins {
  private readonly tables: PostgresTables;
  private readonly counters: ChangeCounters;
  private readonly table: string;

  private constructor(database: PostgresDatabase) {
    super();
    this.counters = new ChangeCounters(database);
    this.tables = new PostgresTables(database, 'bundles', [bundlePinTable], this.counters.tables);
    this.table = this.tables.name('bundle_pin');
  }

  /** The table is made when it is not there; while the server is away, when it is back. */
  static async open(database: PostgresDatabase): Promise<PostgresBundlePins> {
    const pins = new PostgresBundlePins(database);
    await pins.tables.prepare();
    return pins;
  }

  async all(): Promise<readonly SharedPin[]> {
    const rows = await this.tables.query<PinRow>(
      `SELECT name, bundle, semantics, over, number, ended FROM ${this.table}`,
    );
    return rows.map(toPin);
  }

  async content({ bundle }: SharedPin): Promise<FetchedBundle | undefined> {
    const [row] = await this.tables.query<{ content: Buffer; signature: string | null }>(
      `SELECT content, signature FROM ${this.table} WHERE name = $1 AND digest = $2`,
      [bundle.set, bundle.digest],
    );
    if (row === undefined) return undefined;
    // A row must not exhaust a replica: the index gave the size, and the digest is checked later.
    const archive = await decompress(row.content, { maxOutputLength: bundle.size }).catch(() => {
      throw new BundleError('bundle_archive_invalid', `the pinned bundle of ${bundle.set} in the database is damaged`);
    });
    return { archive, signature: row.signature ?? undefined };
  }

  async pin(pin: SharedPin, content: FetchedBundle, { by, at }: { by: string; at: number }): Promise<void> {
    const { bundle, semantics, over, number } = pin;
    const archive = await compress(content.archive);
    await this.tables.transaction(async (client) => {
      await this.counters.count(client, 'policies');
      await client.query(
        `INSERT INTO ${this.table} (name, bundle, digest, semantics, over, number, changed, changed_by, content, signature)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (name) DO UPDATE SET bundle = excluded.bundle, digest = excluded.digest, ended = NULL,
           semantics = excluded.semantics, over = excluded.over, number = excluded.number, changed = excluded.changed,
           changed_by = excluded.changed_by, content = excluded.content, signature = excluded.signature`,
        [
          ...[bundle.set, JSON.stringify(bundle), bundle.digest, semantics, over, number, at, by],
          ...[archive, content.signature ?? null],
        ],
      );
    });
  }

  async unpin(set: string): Promise<void> {
    await this.tables.transaction(async (client) => {
      await this.counters.count(client, 'policies');
      await client.query(`DELETE FROM ${this.table} WHERE name = $1`, [set]);
    });
  }

  async end({ bundle, over, number }: SharedPin, endedBy: number): Promise<void> {
    await this.tables.write(
      `UPDATE ${this.table} SET ended = least(ended, $1) WHERE name = $2 AND digest = $3 AND over = $4 AND number = $5`,
      [endedBy, bundle.set, bundle.digest, over, number],
    );
  }
}

/** @throws BundleError where the row is not what `pin` writes */
function toPin({ name, bundle, semantics, over, number, ended }: PinRow): SharedPin {
  const refuse = (message: string) => new BundleError('bundle_index_invalid', `what is pinned is unknown: ${message}`);
  let value: unknown;
  try {
    value = JSON.parse(bundle);
  } catch {
    throw refuse(`the entry of ${name} is not JSON`);
  }
  if (!isSemantics(semantics)) throw refuse(`${name} is meant under semantics ${semantics}`);
  const entry = readIndexedBundle(value, `the entry of ${name}`, refuse);
  if (entry.set !== name) throw refuse(`the entry of ${name} names ${entry.set}`);
  return { bundle: entry, semantics, over, number, ended: ended ?? undefined };
}
