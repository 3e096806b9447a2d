/** The keys that the shared log is encrypted with (1764400000006-encryption.ts): making them, and reading what they encrypt. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { BoundedCache } from '../../core/bounded-cache.js';
import type { PostgresClient, PostgresStatements, PostgresValue } from '../../database/postgres/postgres-client.js';
import { EncryptionKeys, MissingEncryptionKey, newKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import { seal, unseal } from '../../encryption/sealed-bytes.js';
import { VerdictError } from '../../errors.js';
import { Turns } from '../../turns/turns.js';
import { KeyedIndex } from '../keyed-index.js';
import { saltBytes } from '../proof/group-hashes.js';

/** What statements are run with, and the qualified names of tables. */
interface Reading {
  readonly client: PostgresStatements;
  readonly table: (name: string) => string;
}

/** What a row of `decision_group` has of its records, as it is read. */
export interface CodedText {
  readonly writer: number;
  readonly first: number;
  readonly count: number;
  readonly records: string;
  readonly sealed: Buffer | null;
  readonly data_key: number | null;
  /** Left out where nobody asks for them. */
  readonly salts?: Buffer | null;
}

/** The columns of `CodedText`, but for the salts. */
export const textColumns = 'writer, first, count, records, sealed, data_key';

/** The size of what a row has of its records, in bytes. */
export function textBytes(row?: string): string {
  const of = (column: string) => (row === undefined ? column : `${row}.${column}`);
  return `octet_length(${of('records')}) + coalesce(octet_length(${of('sealed')}), 0)`;
}

/** A row whose text was decrypted. */
export type DecodedText<Row extends CodedText> = Omit<Row, 'sealed'> & {
  /** True for one that cannot be decrypted, since it or its key was changed, or is not there: no line of its text can be read. */
  readonly isUndecryptable?: boolean;
};

/** Keys of writers and days that are kept unwrapped. */
const cachedKeys = 4_096;

/** As it is in messages: who reads it may have the URL of another database in mind. */
const what = 'the decision log in PostgreSQL';

/** What a wrapped key is for, as `EncryptionKeys` wants it. Exported for who wraps it anew. */
export function useOfKey(log: string, { use, writer, day }: Pick<SharedDataKey, 'use' | 'writer' | 'day'>): string {
  return use === 'index' ? `index of ${log}` : `text of ${log} ${writer} ${day}`;
}

/** A row of `decision_data_key`; `day`: `2026-03-03`. */
export interface SharedDataKey {
  readonly id: number;
  readonly use: 'text' | 'index';
  readonly writer: number | null;
  readonly day: string | null;
  readonly wrapped: Buffer;
}

/** Rows are encrypted, and the key that masks what finds and counts them is not there: nothing may take its place. */
export class LostIndexKey extends Error {
  override readonly name = 'LostIndexKey';

  constructor() {
    super(
      `${what} is encrypted, and the key that finds its records is not there any more: put the row of decision_data_key ` +
        "whose use is 'index' back from a backup",
    );
  }
}

/** Encrypts the rows of a writer and a day. */
export class RowSealer {
  /** @param id of its key */
  constructor(
    readonly id: number,
    private readonly key: KeyObject,
    private readonly writer: number,
  ) {}

  /** Under a new nonce each time. */
  seal(first: number, records: Buffer | string, salts: Buffer | null, count: number): Buffer {
    const all = salts ?? Buffer.alloc(count * saltBytes);
    return seal(this.key, contextOf(this.writer, first), [all, records]);
  }
}

/**
 * The keys of a shared log, as far as the operator's keys unwrap them. Whatever reads the text of a row asks `decoded`, so that
 * nothing else knows what stands in it.
 */
export class SharedKeys {
  /** Of a log that nobody has a key for. */
  static readonly none = new SharedKeys(undefined);

  private known: { readonly index: KeyedIndex; readonly wrapped: Buffer } | undefined;
  private mayShipInClear = false;
  private readonly texts = new BoundedCache<KeyObject>(cachedKeys);

  /** @param encryption the operator's keys; undefined: nothing is encrypted, and nothing that is can be read */
  constructor(private readonly encryption: EncryptionKeys | undefined) {}

  /**
   * What masks keys and hides names; undefined where the log is not encrypted. It is read each time: a database may be put back to
   * a state before there was one.
   *
   * @throws MissingEncryptionKey
   * @throws LostIndexKey
   */
  async indexOf({ client, table }: Reading): Promise<KeyedIndex | undefined> {
    const [row] = await client.query<{ log: string; wrapped: Buffer | null; is_encrypted: boolean }>(
      `SELECT name AS log, ${indexKeyColumns(table)} FROM ${table('decision_log')}`,
    );
    return row && this.indexIn(row.log, row.wrapped, row.is_encrypted);
  }

  /**
   * The same, for who has read the name of the log and the columns of `indexKeyColumns`.
   *
   * @throws MissingEncryptionKey
   * @throws LostIndexKey
   */
  indexIn(log: string, wrapped: Buffer | null, isEncrypted: boolean): KeyedIndex | undefined {
    if (wrapped === null) {
      this.known = undefined;
      if (isEncrypted) throw new LostIndexKey();
      return undefined;
    }
    if (this.known?.wrapped.equals(wrapped) === true) return this.known.index;
    const use = useOfKey(log, { use: 'index', writer: null, day: null });
    let key: Buffer;
    try {
      key = (this.encryption ?? EncryptionKeys.none).unwrap(wrapped, use, what);
    } catch (error) {
      // It was wrapped anew under a key that this replica does not have yet: it goes on with what it has unwrapped.
      if (this.known === undefined || !(error instanceof MissingEncryptionKey)) throw error;
      return this.known.index;
    }
    const index = this.known?.index.indexKey.equals(key) === true ? this.known.index : new KeyedIndex(key);
    this.known = { index, wrapped };
    return index;
  }

  /**
   * The same for a replica that ships: with a key it begins to encrypt the log. Without one it may not begin with a log that is
   * encrypted; one that ships already goes on in clear when another replica begins.
   *
   * @throws MissingEncryptionKey
   */
  async beginShipping({ client, table }: { client: PostgresClient } & Reading): Promise<KeyedIndex | undefined> {
    const { encryption } = this;
    if (encryption === undefined) {
      if (!this.mayShipInClear) await this.indexOf({ client, table });
      this.mayShipInClear = true;
      return undefined;
    }
    const index = await this.indexOf({ client, table });
    if (index !== undefined) return index;
    const [log] = await client.query<{ name: string }>(`SELECT name FROM ${table('decision_log')}`);
    // Several replicas may begin at once: the first key counts.
    await client.write(
      `INSERT INTO ${table('decision_data_key')} (use, wrapped) VALUES ('index', $1)
       ON CONFLICT (use) WHERE use = 'index' DO NOTHING`,
      [encryption.wrap(newKey(), useOfKey(log!.name, { use: 'index', writer: null, day: null }))],
    );
    return this.indexOf({ client, table });
  }

  /**
   * What encrypts the rows of a writer and a day (`2026-03-03`) from now on: under the newest of the keys that are there, if the
   * newest of the operator's wraps it, or a new one. A replica without a key has none.
   */
  async sealer(
    { client, table }: { client: PostgresClient } & Reading,
    writer: number,
    day: string,
  ): Promise<RowSealer | undefined> {
    const { encryption } = this;
    if (encryption === undefined) return undefined;
    const [newest] = await readSharedKeys(
      { client, table },
      `use = 'text' AND writer = $1 AND day = $2::date AND NOT retired ORDER BY id DESC LIMIT 1`,
      [writer, day],
    );
    if (newest !== undefined && encryption.isNewest(newest.wrapped)) {
      const key = this.unwrapped(newest);
      if (key !== undefined) return new RowSealer(newest.id, key, writer);
    }
    const [log] = await client.query<{ name: string }>(`SELECT name FROM ${table('decision_log')}`);
    const key = newKey();
    const [made] = await client.query<{ id: number }>(
      `INSERT INTO ${table('decision_data_key')} (use, writer, day, wrapped) VALUES ('text', $1, $2::date, $3) RETURNING id`,
      [writer, day, encryption.wrap(key, useOfKey(log!.name, { use: 'text', writer, day }))],
    );
    return new RowSealer(made!.id, createSecretKey(key), writer);
  }

  /** What encrypts a row again that was read. */
  async sealerOf(reading: Reading, { writer, data_key }: Pick<CodedText, 'writer' | 'data_key'>): Promise<RowSealer> {
    const key = data_key === null ? undefined : (await this.keysOf(reading, [data_key])).get(data_key);
    if (key === undefined) throw new WrongWrappedKey(what);
    return new RowSealer(data_key!, key, writer);
  }

  /**
   * Rows with their texts and salts in clear.
   *
   * @param onMissing hears of keys that are not there, whose rows are then undecryptable
   * @throws MissingEncryptionKey without `onMissing`
   */
  async decoded<Row extends CodedText>(
    reading: Reading,
    rows: readonly Row[],
    onMissing?: (error: MissingEncryptionKey) => void,
  ): Promise<DecodedText<Row>[]> {
    const ids = new Set(rows.flatMap(({ data_key }) => data_key ?? []));
    if (ids.size === 0) return [...rows];
    const keys = await this.keysOf(reading, [...ids], onMissing);
    const turns = new Turns();
    const decoded: DecodedText<Row>[] = [];
    for (const row of rows) {
      if (turns.isOver) await turns.next();
      decoded.push(row.data_key === null ? row : decode(row, keys.get(row.data_key)));
    }
    const closed = rows.filter((_, i) => decoded[i]!.isUndecryptable === true);
    if (closed.length === 0) return decoded;
    // A database that was put back to an older state gives the numbers of keys to others.
    const now = await this.readKeys(reading, [...new Set(closed.map(({ data_key }) => data_key!))], onMissing);
    return decoded.map((row, i) => (row.isUndecryptable === true ? decode(rows[i]!, now.get(row.data_key!)) : row));
  }

  /**
   * Removes the keys of the days before one (`2026-03-03`), but for those that `kept` reads. Batches that are under way end before; what
   * comes later of such a day is under a new key.
   */
  async forget(
    { client, table }: { client: PostgresClient } & Reading,
    day: string,
    kept: () => Promise<readonly string[]>,
  ): Promise<void> {
    const gone = `use = 'text' AND day < $1::date AND day <> ALL ($2::text[]::date[])`;
    const from = table('decision_data_key');
    const keys = await client.query(`SELECT FROM ${from} WHERE ${gone} LIMIT 1`, [day, await kept()]);
    if (keys.length === 0) return;
    await beginKeyEpoch({ client, table });
    // A batch that ended meanwhile may have brought records of a day that had none.
    await client.write(`DELETE FROM ${from} WHERE ${gone}`, [day, await kept()]);
  }

  /** The key that is needed to read all and is not there; undefined where all are. */
  async missing(reading: Reading): Promise<MissingEncryptionKey | undefined> {
    for (const row of await readSharedKeys(reading, 'true', [])) {
      try {
        (this.encryption ?? EncryptionKeys.none).unwrap(row.wrapped, useOfKey(row.log, row), what);
      } catch (error) {
        if (error instanceof MissingEncryptionKey) return error;
        // One that was changed is found with what it encrypts.
        if (!(error instanceof WrongWrappedKey)) throw error;
      }
    }
    return undefined;
  }

  /** The keys with these numbers, of those that are there and were not changed. */
  private async keysOf(
    reading: Reading,
    ids: readonly number[],
    onMissing?: (error: MissingEncryptionKey) => void,
  ): Promise<ReadonlyMap<number, KeyObject>> {
    const known = new Map<number, KeyObject>();
    const unknown: number[] = [];
    for (const id of ids) {
      const key = this.texts.get(`${id}`);
      if (key === undefined) unknown.push(id);
      else known.set(id, key);
    }
    if (unknown.length === 0) return known;
    for (const [id, key] of await this.readKeys(reading, unknown, onMissing)) known.set(id, key);
    return known;
  }

  /** The same, as they stand there now. */
  private async readKeys(
    reading: Reading,
    ids: readonly number[],
    onMissing?: (error: MissingEncryptionKey) => void,
  ): Promise<ReadonlyMap<number, KeyObject>> {
    const found = new Map<number, KeyObject>();
    for (const row of await readSharedKeys(reading, `use = 'text' AND id = ANY ($1::int[])`, [ids])) {
      try {
        const key = this.unwrapped(row);
        if (key !== undefined) found.set(row.id, key);
      } catch (error) {
        if (onMissing === undefined || !(error instanceof MissingEncryptionKey)) throw error;
        onMissing(error);
      }
    }
    return found;
  }

  private unwrapped({ id, wrapped, log, ...row }: NamedDataKey): KeyObject | undefined {
    try {
      const unwrapped = (this.encryption ?? EncryptionKeys.none).unwrap(wrapped, useOfKey(log, row), what);
      const key = createSecretKey(unwrapped);
      this.texts.set(`${id}`, key);
      return key;
    } catch (error) {
      if (error instanceof WrongWrappedKey) return undefined;
      throw error;
    }
  }
}

/** Columns for `SharedKeys.indexIn`: `wrapped`, and `is_encrypted`, whether rows were ever encrypted. */
export function indexKeyColumns(table: Reading['table']): string {
  return `(SELECT wrapped FROM ${table('decision_data_key')} WHERE use = 'index') AS wrapped,
       EXISTS (SELECT FROM ${table('decision_data_key')} WHERE use = 'text') AS is_encrypted`;
}

/** A row with the name of the log. */
export type NamedDataKey = SharedDataKey & { readonly log: string };

/** The keys of a log that meet a condition. */
export function readSharedKeys(
  { client, table }: Reading,
  condition: string,
  values: readonly PostgresValue[],
): Promise<NamedDataKey[]> {
  return client.query<NamedDataKey>(
    `SELECT id, use, writer, day::text AS day, wrapped, (SELECT name FROM ${table('decision_log')}) AS log
     FROM ${table('decision_data_key')} WHERE ${condition}`,
    values,
  );
}

function decode<Row extends CodedText>({ sealed, ...row }: Row, key: KeyObject | undefined): DecodedText<Row> {
  const { writer, first, count } = row;
  const bytes = key === undefined || sealed === null ? undefined : unseal(key, contextOf(writer, first), sealed);
  const end = count * saltBytes;
  // Lines of which none can be read: who reads records is told of each.
  if (bytes === undefined || bytes.length < end)
    return { ...row, records: '\n'.repeat(count), salts: null, isUndecryptable: true } as unknown as DecodedText<Row>;
  // Sound: these two replace columns of the same types.
  const plain = { records: bytes.toString('utf8', end), salts: bytes.subarray(0, end) };
  return { ...row, ...plain } as unknown as DecodedText<Row>;
}

/** Where a text belongs; its key says of which day and log it is. */
function contextOf(writer: number, first: number): Buffer {
  const context = Buffer.allocUnsafe(12);
  context.writeUInt32BE(writer, 0);
  context.writeUInt32BE(Math.floor(first / 2 ** 32), 4);
  context.writeUInt32BE(first % 2 ** 32, 8);
  return context;
}

/**
 * Has all writers look for their keys again: waits for the batches that are under way, and those that come are refused until this
 * transaction ends.
 */
export async function beginKeyEpoch({ client, table }: { client: PostgresClient } & Reading): Promise<void> {
  // Nobody may come, either: a writer that this does not see would go on under its keys.
  await client.query(`LOCK TABLE ${table('decision_writer')} IN SHARE ROW EXCLUSIVE MODE`);
  await client.write(`UPDATE ${table('decision_writer')} SET key_epoch = key_epoch + 1`);
}

/** What a caller hears who asks about records whose key is not there. */
export function lockedLog(error: MissingEncryptionKey | LostIndexKey): VerdictError {
  const detail =
    error instanceof LostIndexKey
      ? 'The decision log is encrypted, and the key that finds its records is not there any more.'
      : `The decision log is encrypted, and the key ${error.fingerprint} is needed to read it.`;
  return new VerdictError('decision_log_unavailable', detail, { cause: error, retryAfter: 1 });
}
