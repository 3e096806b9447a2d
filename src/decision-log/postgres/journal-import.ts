import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import type { ShippedJournal, Stretch } from '../shipped-journal.js';
import { DayPartitions } from './day-partitions.js';
import { SharedKeys } from './shared-keys.js';
import { sharedLogMigrations } from './shared-migrations.js';
import { Shipper } from './shipper.js';
import { addDeltas } from './tally-delta.js';

export interface JournalImportOptions {
  readonly database: PostgresDatabase;
  /** With keys what is taken is encrypted; a log that is encrypted takes nothing without. */
  readonly encryption?: EncryptionKeys | undefined;
  /** A journal that nobody writes. */
  readonly journal: ShippedJournal;
  /** How its writer is called. */
  readonly instance: string;
  /** Called with each part of the journal before it is in the shared log. */
  readonly before: (stretch: Stretch) => Promise<void>;
  /** Called after each batch: up to which sequence records are in the shared log. */
  readonly progress: (shipped: number) => void;
  /** Hears that the journal goes on as another writer, since the log has other records under its name. */
  readonly onProblem: (what: string) => void;
}

/** How long after its time a record may have been committed, in milliseconds: longer than a batch takes. */
const latestMs = 60_000;

/**
 * Takes a journal into the shared log whole, as a replica with this journal would ship it. If it is killed, the next
 * attempt goes on there: each record is in the log once.
 */
export async function importJournal(options: JournalImportOptions): Promise<void> {
  const { database, encryption, journal, instance, before, progress, onProblem } = options;
  const tables = new PostgresTables(database, 'decision-log', sharedLogMigrations);
  const shipper = new Shipper({
    database,
    prepare: () => tables.prepare(),
    partitions: new DayPartitions(database),
    keys: new SharedKeys(encryption),
    journal: readFirst(journal, before),
    instance,
    latestMs,
    count: (client, rows) => addDeltas(client, (name) => database.table(name), rows),
    harden: true,
    // What the retention of the replicas does not keep, it drops later.
    expired: async () => new Set(),
    onProblem,
  });
  await shipper.shipAll(progress);
}

function readFirst(journal: ShippedJournal, before: (stretch: Stretch) => Promise<void>): ShippedJournal {
  return {
    end: journal.end,
    position: () => journal.position(),
    read: async (after, most) => {
      const stretch = await journal.read(after, most);
      await before(stretch);
      return stretch;
    },
    shipped: (sequence) => journal.shipped(sequence),
    gaps: (from) => journal.gaps(from),
    first: () => journal.first(),
    idAt: (sequence) => journal.idAt(sequence),
    treeBefore: (group) => journal.treeBefore(group),
    checkpoint: () => journal.checkpoint(),
    keys: () => journal.keys(),
    harden: () => journal.harden(),
  };
}
