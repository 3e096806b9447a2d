/**
 * Runs a migration that kills its own process with SIGKILL after its first statement.
 *
 *     node migration-child.mjs <url>
 */
import { parsePostgresUrl } from '../../../dist/config/postgres-url.js';
import { migrate } from '../../../dist/database/postgres/migrations.js';
import { PostgresDatabase } from '../../../dist/database/postgres/postgres-database.js';

const database = new PostgresDatabase({
  url: parsePostgresUrl(process.argv[2]),
  instance: 'child',
  onProblem: () => undefined,
});
await migrate(database, 'test', [
  {
    name: '1-first',
    up: async (client, table) => {
      await client.query(`CREATE TABLE ${table('first')} (id int8)`);
      process.kill(process.pid, 'SIGKILL');
    },
  },
]);
