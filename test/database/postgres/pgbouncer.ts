/** A real PgBouncer in transaction mode in front of a server of the tests. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, hasPostgres, type PostgresServer } from './postgres-server.js';

const program = '/usr/sbin/pgbouncer';

export const hasPgBouncer = hasPostgres && (process.env.VERDICT_TEST_REQUIRE === 'all' || existsSync(program));

export interface PgBouncer {
  /** The same URL, by way of it. */
  through(url: string): string;
  stop(): void;
}

/** Starts one that opens so many connections to each database of the server. */
export async function startPgBouncer(server: PostgresServer, sessions: number): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'verdict-pgbouncer-'));
  const port = await freePort();
  const settings = [
    '[databases]',
    `* = host=127.0.0.1 port=${server.port} user=postgres`,
    '[pgbouncer]',
    `listen_addr=127.0.0.1\nlisten_port=${port}\nunix_socket_dir=`,
    `auth_type=any\npool_mode=transaction\ndefault_pool_size=${sessions}\nserver_reset_query=\nmax_client_conn=1000`,
  ];
  writeFileSync(join(folder, 'pgbouncer.ini'), settings.join('\n'));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) execFileSync('chown', ['-R', 'postgres', folder]);
  const user = isRoot ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
  const child = spawn('setpriv', [...user, '--pdeathsig=INT', program, join(folder, 'pgbouncer.ini')], {
    stdio: 'ignore',
  });
  return {
    through: (url) => url.replace(/:\d+\//, `:${port}/`),
    stop: () => {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
