/**
 * A PostgreSQL of its own for a benchmark: on loopback, with the settings that it comes with, in a folder that goes with it.
 * Its programs are those in `VERDICT_TEST_POSTGRES_BIN`, else the newest that are installed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** PostgreSQL refuses to run as root. */
const asUser = process.getuid() === 0 ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];

/**
 * Makes a server, if the folder has none, and starts it. `settings`: those of postgresql.conf that are not the default.
 *
 * @param folder which `remove` removes
 */
export async function startPostgres(settings = {}, folder = mkdtempSync(join(tmpdir(), 'verdict-bench-postgres-'))) {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o700);
  if (asUser.length > 0) execFileSync('chown', ['postgres', folder]);
  const data = join(folder, 'data');
  if (!existsSync(data)) {
    const [initdb, ...args] = program('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '--encoding=UTF8']);
    execFileSync(initdb, [...args, '--locale=C.UTF-8'], { stdio: 'ignore' });
  }
  const server = new BenchPostgres(folder, await freePort(), settings);
  await server.resume();
  return server;
}

class BenchPostgres {
  constructor(folder, port, settings) {
    this.folder = folder;
    this.port = port;
    this.settings = settings;
    this.databases = 0;
  }

  async resume() {
    const all = {
      listen_addresses: '127.0.0.1',
      port: this.port,
      unix_socket_directories: this.folder,
      ...this.settings,
    };
    const given = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const [postgres, ...args] = program('postgres', ['-D', join(this.folder, 'data'), ...given]);
    this.child = spawn(postgres, args, { stdio: ['ignore', 'ignore', 'ignore'] });
    for (let tries = 0; ; tries++) {
      if (await this.query('SELECT 1').catch(() => undefined)) return;
      if (this.child.exitCode !== null || tries > 1_500) throw new Error('PostgreSQL does not start');
      await delay(20);
    }
  }

  async stop() {
    this.child.kill('SIGINT');
    await once(this.child, 'exit');
  }

  async remove() {
    if (this.child.exitCode === null) await this.stop();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  /** Makes an empty database and returns its URL. */
  async createDatabase() {
    const name = `bench_${++this.databases}`;
    await this.query(`CREATE DATABASE ${name}`);
    return this.url(name);
  }

  url(database) {
    return `postgres://postgres@127.0.0.1:${this.port}/${database}`;
  }

  /** Runs a statement on a connection of its own; returns its rows. */
  async query(sql, url = this.url('postgres')) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Bytes of all tables and indexes of a database. */
  async sizeOf(url) {
    const [{ size }] = await this.query('SELECT pg_database_size(current_database())::float8 AS size', url);
    return size;
  }

  /** Processor time of all its processes, those that ended too, in µs. Linux only. */
  cpu() {
    const { pid } = this.child;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean);
    return children.reduce((sum, child) => sum + ticksOf(child, 11, 12), ticksOf(pid, 11, 12, 13, 14)) * 10_000;
  }

  /** Stops it, drops what the system keeps of its files in memory, and starts it again. */
  async restartCold() {
    await this.stop();
    const evict = ['-type', 'f', '-exec', 'dd', 'if={}', 'iflag=nocache', 'count=0', 'status=none', ';'];
    execFileSync('find', [join(this.folder, 'data'), ...evict]);
    await this.resume();
  }
}

/** A process may end between the list and this. */
function ticksOf(pid, ...indexes) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1).split(' ');
    return indexes.reduce((sum, index) => sum + Number(fields[index]), 0);
  } catch {
    return 0;
  }
}

function program(name, args) {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const installed = [...versions.map((version) => join(root, version, 'bin')), ...process.env.PATH.split(':')];
  const { VERDICT_TEST_POSTGRES_BIN: named } = process.env;
  const folders = named === undefined ? installed : [named];
  const folder = folders.find((each) => existsSync(join(each, 'postgres')));
  if (folder === undefined) throw new Error('PostgreSQL is not installed');
  return ['setpriv', ...asUser, '--pdeathsig=INT', join(folder, name), ...args];
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
