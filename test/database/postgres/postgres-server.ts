/**
 * A real PostgreSQL for the tests of one file: on loopback, in a folder of its own, with the server's own settings. It runs
 * as the user `postgres` where the tests run as root, which PostgreSQL refuses, and ends with this process, however that ends.
 *
 *     VERDICT_TEST_POSTGRES_BIN=/opt/postgresql-18/bin    # its programs, instead of the newest that is installed
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

const programs = findPrograms();
const required = process.env.VERDICT_TEST_REQUIRE === 'all';

/** Where PostgreSQL is missing, its tests are skipped, unless `VERDICT_TEST_REQUIRE=all`. */
export const hasPostgres = required || programs !== undefined;

export interface PostgresServerOptions {
  /** Settings of postgresql.conf, such as `{ max_connections: 20 }`. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** The lines of pg_hba.conf; by default every connection is trusted. */
  readonly access?: string;
}

export class PostgresServer {
  private child: ChildProcess | undefined;
  private databases = 0;
  private schemas = 0;

  private constructor(
    /** Holds the data, the socket and what the server says (`log`). */
    readonly folder: string,
    readonly port: number,
    private settings: Readonly<Record<string, string | number>>,
  ) {}

  /** Makes a server and starts it; one second. */
  static async start({ settings = {}, access }: PostgresServerOptions = {}): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'verdict-postgres-'));
    chmodSync(folder, 0o700);
    if (isRoot) execFileSync('chown', ['postgres', folder]);
    const data = join(folder, 'data');
    // The order of texts is that of a language, as on most servers: what relies on another must say so.
    const order = ['--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en'];
    const options = ['-D', data, '--no-sync', '-U', 'postgres', '-A', 'trust', '--encoding=UTF8'];
    const made = [order, ['--locale=C.UTF-8']].some((locale) => {
      rmSync(data, { recursive: true, force: true });
      const [program, ...args] = asPostgres('initdb', [...options, ...locale]);
      return spawnSync(program!, args, { stdio: 'ignore' }).status === 0;
    });
    if (!made) throw new Error('initdb failed: is PostgreSQL installed?');
    if (access !== undefined) execFileSync('tee', [join(data, 'pg_hba.conf')], { input: access, stdio: 'pipe' });
    const server = new PostgresServer(folder, await freePort(), settings);
    try {
      await server.resume();
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    return server;
  }

  /** The process id of the server's first process; undefined while it is stopped. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts a server that was stopped or killed, on the same port, with the same data. */
  async resume(settings = this.settings): Promise<void> {
    this.settings = settings;
    const fixed = {
      listen_addresses: '127.0.0.1',
      port: this.port,
      unix_socket_directories: this.folder,
      // After a kill, one call for the disk instead of one for each of the thousands of files.
      recovery_init_sync_method: 'syncfs',
    };
    const given = Object.entries({ ...fixed, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const log = join(this.folder, 'log');
    for (let tries = 0; ; tries++) {
      const [program, ...args] = asPostgres('postgres', ['-D', join(this.folder, 'data'), ...given]);
      const child = spawn('sh', ['-c', 'log=$1; shift; exec "$@" >>"$log" 2>&1', 'sh', log, program!, ...args], {
        stdio: 'ignore',
      });
      this.child = child;
      while (child.exitCode === null && child.signalCode === null) {
        if (await this.answers()) return;
        await delay(20);
      }
      this.child = undefined;
      // The children of a server that was killed hold its memory for a moment.
      if (tries === 50) throw new Error(`PostgreSQL does not start: ${readFileSync(log, 'utf8').slice(-2_000)}`);
      await delay(100);
    }
  }

  /** Ends the server with all its processes at once; what was committed is kept. */
  async kill(): Promise<void> {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8');
    await this.end('SIGKILL');
    for (const pid of children.split(' ').filter((each) => each !== '')) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It noticed that the first one is gone.
      }
    }
  }

  /** Ends the server and every connection; what was committed is kept. */
  async stop(): Promise<void> {
    await this.end('SIGINT');
  }

  /** Stops it for good and removes its folder. */
  async remove(): Promise<void> {
    await this.end('SIGQUIT');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  /** Makes an empty database and returns its URL; a tenth of a second. */
  async createDatabase(parameters = ''): Promise<string> {
    const name = `test_${++this.databases}`;
    await this.query(`CREATE DATABASE ${name} TEMPLATE template0`);
    return this.url(name, parameters);
  }

  /** The URL of a schema that nobody has made yet, in a database that others use too. It costs nothing. */
  newSchema(): string {
    return this.url('postgres', `?schema=test_${++this.schemas}`);
  }

  /** @param parameters as in `?schema=other` */
  url(database: string, parameters = '', user = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}${parameters}`;
  }

  /** Runs statements as the superuser, on a connection of their own. Of several the rows of the last are returned. */
  // biome-ignore lint/suspicious/noExplicitAny: each statement has rows of its own
  async query(sql: string, url = this.url('postgres'), values?: unknown[]): Promise<any[]> {
    const client = new pg.Client({ connectionString: url.replace(/\?.*/, ''), connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    await client.connect();
    try {
      const result = await client.query(sql, values);
      return ([result].flat().at(-1) as { rows: unknown[] }).rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  private async answers(): Promise<boolean> {
    return this.query('SELECT 1').then(
      () => true,
      () => false,
    );
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}

const isRoot = process.getuid?.() === 0;

/** The program, and that it gets a signal to stop when this process ends. */
function asPostgres(name: string, args: readonly string[]): string[] {
  const program = join(programs ?? '/usr/bin', name);
  const user = isRoot ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
  return ['setpriv', ...user, '--pdeathsig=INT', program, ...args];
}

/** Debian keeps them out of the way of the PATH. Throws Error if the named folder does not have them. */
function findPrograms(): string | undefined {
  const named = process.env.VERDICT_TEST_POSTGRES_BIN;
  if (named !== undefined) {
    if (hasPrograms(named)) return named;
    throw new Error(`VERDICT_TEST_POSTGRES_BIN: there is no postgres or no initdb in ${named}`);
  }
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(root, version, 'bin')), ...(process.env.PATH ?? '').split(':')];
  return folders.find(hasPrograms);
}

function hasPrograms(folder: string): boolean {
  return ['postgres', 'initdb'].every((name) => existsSync(join(folder, name)));
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
