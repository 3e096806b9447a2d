import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { Fleet } from '../fleet.js';
import { type FleetReplica, type FleetReport, fleetReportOf, type ReplicaSet } from '../fleet-report.js';
import type { OwnReplica } from '../own-replica.js';
import { replicaTables } from './migrations/1764400000050-replicas.js';
import { replicaWorkerColumns } from './migrations/1764400000051-replica-workers.js';
import { replicaRevisionColumn } from './migrations/1764400000052-replica-revisions.js';

/** A replica that was not heard of for so long, in milliseconds, is silent, and then gone. */
export const replicaSilentMs = 3_000;
export const replicaGoneMs = 30_000;
/** It is listed for so long after it was last heard of, in seconds. */
const listedSeconds = 3_600;
const beatMs = 1_000;
/** Longest time that the next beat waits for one that is not answered, in milliseconds. */
const patienceMs = 2_000;
/** How often replicas that ended without a word long ago are removed, in milliseconds. */
const pruneMs = 60_000;
/** How long `recent` is good, in milliseconds. */
const recentMs = 5_000;

export interface PostgresFleetOptions {
  readonly database: PostgresDatabase;
  readonly own: OwnReplica;
  /** Hears once of each failure in a row that is not the server's absence, which others tell of. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** Hears with each beat how many replicas run, this one included. */
  readonly onReplicas: (count: number) => void;
}

interface ReplicaRow {
  readonly id: string;
  readonly instance: string;
  readonly worker_of: string | null;
  readonly worker: number;
  readonly restarts: number;
  readonly build: string;
  readonly started: string;
  readonly silent_ms: number;
  readonly health: FleetReplica['health'];
  readonly health_since: string;
  readonly problems: string[];
  readonly source_confirmed: string | null;
  readonly unshipped: number;
  readonly log_lag_seconds: number;
}

interface SetRow {
  readonly replica: string;
  readonly policy_set: string;
  readonly state: ReplicaSet['state'];
  readonly since: string;
  readonly version: string | null;
  readonly served_since: string | null;
  readonly pinned: boolean;
  readonly revision: number | null;
}

/** The replicas on one PostgreSQL database. Each writes one row once a second, and what it serves when that changes. */
export class PostgresFleet extends Fleet {
  private readonly tables: PostgresTables;
  private readonly replicas: string;
  private readonly sets: string;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;
  private isFailing = false;
  /** When the beat began that was written last, by the monotonic clock. */
  private heardAt = Number.NEGATIVE_INFINITY;
  private prunedAt = Number.NEGATIVE_INFINITY;
  /** What was written last, and of each set in words; undefined: nobody knows what is there. */
  private written: { readonly sets: readonly ReplicaSet[]; readonly texts: ReadonlyMap<string, string> } | undefined;
  private beating: Promise<void> = Promise.resolve();
  private reading: Promise<unknown> | undefined;
  private lastReport: { readonly report: FleetReport; readonly at: number } | undefined;

  constructor(private readonly options: PostgresFleetOptions) {
    super();
    this.tables = new PostgresTables(options.database, 'fleet', [
      replicaTables,
      replicaWorkerColumns,
      replicaRevisionColumn,
    ]);
    this.replicas = this.tables.name('replica');
    this.sets = this.tables.name('replica_set');
  }

  get heardAgeMs(): number {
    return performance.now() - this.heardAt;
  }

  start(): void {
    void this.goOn();
  }

  /** Takes its row back: one that stops in order is not missed. While the server is away, the others see it go. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.answered(this.beating);
    if (this.options.database.problem !== undefined) return;
    await this.answered(
      this.tables.write(`DELETE FROM ${this.replicas} WHERE id = $1`, [this.options.own.id]).catch(() => undefined),
    );
  }

  async report(): Promise<FleetReport> {
    const report = await this.tables.transaction((client) => this.readAll(client), { snapshot: true, readOnly: true });
    this.lastReport = { report, at: performance.now() };
    return report;
  }

  async recent(): Promise<FleetReport | undefined> {
    const { lastReport, options } = this;
    const isRecent = lastReport !== undefined && performance.now() - lastReport.at < recentMs;
    if (isRecent || options.database.problem !== undefined) return lastReport?.report;
    this.reading ??= this.report()
      .catch(() => undefined)
      .finally(() => {
        this.reading = undefined;
      });
    await this.answered(this.reading);
    return this.lastReport?.report;
  }

  private async goOn(): Promise<void> {
    const began = performance.now();
    this.beating = this.beat();
    await this.answered(this.beating);
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.goOn(), Math.max(0, began + beatMs - performance.now()));
    this.timer.unref();
  }

  /** Waits for what may meet a dead connection, but not for long. */
  private async answered(work: Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patienceMs);
    });
    await Promise.race([work, timeout]);
    clearTimeout(timer);
  }

  /** Does not throw. */
  private async beat(): Promise<void> {
    const began = performance.now();
    const own = this.options.own.read(Date.now());
    try {
      const { written } = this;
      const isSame = written?.sets === own.sets;
      let running = isSame ? await this.writeBeat(own) : undefined;
      if (running === undefined) {
        const texts = new Map(own.sets.map((set) => [set.name, JSON.stringify(set)]));
        await this.writeWhole(own, texts, isSame ? undefined : written?.texts);
        this.written = { sets: own.sets, texts };
        running = await this.writeBeat(own);
      }
      if (running !== undefined) this.options.onReplicas(running);
      this.heardAt = Math.max(this.heardAt, began);
      this.isFailing = false;
      if (began - this.prunedAt >= pruneMs) await this.prune(began);
    } catch (error) {
      this.written = undefined;
      if (!this.isFailing && this.options.database.problem === undefined && !this.isStopped) {
        this.options.onProblem('other replicas cannot be told of this one', error);
      }
      this.isFailing = true;
    }
  }

  /**
   * One statement; how many replicas run, or undefined if the row is not there. Nothing is lost with it, so it need not be safe on
   * disk.
   */
  private async writeBeat(own: FleetReplica): Promise<number | undefined> {
    const [row] = await this.tables.query<{ others: number }>(
      `UPDATE ${this.replicas} SET beat = clock_timestamp(), health = $2, health_since = $3, problems = $4,
         source_confirmed = $5, unshipped = $6, log_lag_seconds = $7 WHERE id = $1
       RETURNING (SELECT count(*) FROM ${this.replicas} AS other
         WHERE other.id <> $1 AND other.beat > clock_timestamp() - $8 * interval '1 millisecond') AS others`,
      [own.id, ...beatOf(own), replicaSilentMs],
    );
    return row && 1 + row.others;
  }

  /**
   * @param texts each set in words
   * @param before what is known to be there of the sets; without it all are written
   */
  private async writeWhole(
    own: FleetReplica,
    texts: ReadonlyMap<string, string>,
    before: ReadonlyMap<string, string> | undefined,
  ): Promise<void> {
    await this.tables.transaction(async (client) => {
      await client.query(
        `INSERT INTO ${this.replicas} (id, health, health_since, problems, source_confirmed, unshipped, log_lag_seconds,
           instance, build, started, worker_of, worker, restarts, beat)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, clock_timestamp())
         ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, health = excluded.health, health_since = excluded.health_since,
           problems = excluded.problems, source_confirmed = excluded.source_confirmed, unshipped = excluded.unshipped,
           log_lag_seconds = excluded.log_lag_seconds`,
        [
          own.id,
          ...beatOf(own),
          own.instance,
          own.build,
          own.started,
          own.worker?.of ?? null,
          own.worker?.number ?? null,
          own.worker?.restarts ?? null,
        ],
      );
      await client.query(`DELETE FROM ${this.sets} WHERE replica = $1 AND policy_set <> ALL ($2::text[])`, [
        own.id,
        own.sets.map(({ name }) => name),
      ]);
      const changed = own.sets.filter(({ name }) => before?.get(name) !== texts.get(name));
      await client.query(
        `INSERT INTO ${this.sets} (replica, policy_set, state, since, version, served_since, pinned, revision)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::int8[])
         ON CONFLICT (replica, policy_set) DO UPDATE SET state = excluded.state, since = excluded.since,
           version = excluded.version, served_since = excluded.served_since, pinned = excluded.pinned,
           revision = excluded.revision`,
        [
          own.id,
          changed.map(({ name }) => name),
          changed.map(({ state }) => state),
          changed.map(({ since }) => since),
          changed.map(({ version }) => version ?? null),
          changed.map(({ servedSince }) => servedSince ?? null),
          changed.map(({ pinned }) => String(pinned)),
          changed.map(({ revision }) => revision ?? null),
        ],
      );
    });
  }

  private async prune(now: number): Promise<void> {
    await this.tables.write(`DELETE FROM ${this.replicas} WHERE beat < clock_timestamp() - $1 * interval '1 second'`, [
      listedSeconds,
    ]);
    this.prunedAt = now;
  }

  private async readAll(client: PostgresClient): Promise<FleetReport> {
    const rows = await client.query<ReplicaRow>(
      `SELECT id, instance, worker_of, worker, restarts, build, started, health, health_since, problems, source_confirmed, unshipped, log_lag_seconds,
         (extract(epoch FROM clock_timestamp() - beat) * 1000)::int8 AS silent_ms
       FROM ${this.replicas} WHERE beat > clock_timestamp() - $1 * interval '1 second'`,
      [listedSeconds],
    );
    const sets = new Map<string, ReplicaSet[]>(rows.map(({ id }) => [id, []]));
    const setRows = await client.query<SetRow>(
      `SELECT replica, policy_set, state, since, version, served_since, pinned, revision FROM ${this.sets}
       ORDER BY policy_set COLLATE "C"`,
    );
    for (const row of setRows) sets.get(row.replica)?.push(toSet(row));
    const now = Date.now();
    return fleetReportOf(rows.map((row) => toReplica(row, sets.get(row.id)!, now)));
  }
}

function beatOf({ health, healthSince, problems, sourceConfirmed, unshipped, logLagSeconds }: FleetReplica) {
  return [health, healthSince, problems, sourceConfirmed ?? null, unshipped, logLagSeconds] as const;
}

function toSet({ policy_set, state, since, version, revision, served_since, pinned }: SetRow): ReplicaSet {
  return {
    name: policy_set,
    state,
    since,
    ...(version !== null && { version }),
    ...(revision !== null && { revision }),
    ...(served_since !== null && { servedSince: served_since }),
    pinned,
  };
}

function toReplica(row: ReplicaRow, sets: readonly ReplicaSet[], now: number): FleetReplica {
  const { id, instance, build, started, silent_ms, health, problems, unshipped } = row;
  return {
    id,
    instance,
    ...(row.worker_of !== null && { worker: { of: row.worker_of, number: row.worker, restarts: row.restarts } }),
    build,
    started,
    state: silent_ms >= replicaGoneMs ? 'gone' : silent_ms >= replicaSilentMs ? 'silent' : 'running',
    heard: new Date(now - silent_ms).toISOString(),
    health,
    healthSince: row.health_since,
    problems,
    ...(row.source_confirmed !== null && { sourceConfirmed: row.source_confirmed }),
    unshipped,
    logLagSeconds: row.log_lag_seconds,
    sets,
  };
}
