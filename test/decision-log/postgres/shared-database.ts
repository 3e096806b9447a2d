import { migrate } from '../../../src/database/postgres/migrations.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { dayName, tablesByDay } from '../../../src/decision-log/postgres/day-partitions.js';
import { sharedLogMigrations } from '../../../src/decision-log/postgres/shared-migrations.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';

/** Databases with the tables of the shared log, on a server of its own for the tests of a file. */
export function sharedDatabases() {
  const server = postgresForTests();
  const urls = new Map<PostgresDatabase, string>();
  const connect = (url: string) => {
    const database = openDatabase(url);
    urls.set(database, url);
    return database;
  };
  return {
    /** A new one. */
    open: async (): Promise<PostgresDatabase> => {
      const database = connect(await server().createDatabase());
      await migrate(database, 'decision-log', sharedLogMigrations);
      return database;
    },
    /** The connections of another replica to a database. */
    reopen: (database: PostgresDatabase): PostgresDatabase => connect(urls.get(database)!),
    /** Ends each connection to the database, with this probability, that is at or behind such a statement; says how many. */
    endSome: async (database: PostgresDatabase, statement: string, probability: number): Promise<number> => {
      const rows = await server().query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query ~ $2 AND random() < $3`,
        undefined,
        [new URL(urls.get(database)!).pathname.slice(1), statement, probability],
      );
      return rows.length;
    },
  };
}

/** Makes the partitions of a UTC day (since 1970). */
export async function addDay(database: PostgresDatabase, day: number): Promise<void> {
  for (const parent of tablesByDay) {
    await database.query(
      `CREATE TABLE ${database.table(`${parent}_${dayName(day).replaceAll('-', '')}`)} PARTITION OF ${database.table(parent)}
       FOR VALUES FROM ('${dayName(day)}') TO ('${dayName(day + 1)}')`,
    );
  }
}
