/**
 * A real Kafka (KRaft, one broker) on loopback, in a folder of its own. Its programs come from Maven:
 *
 *     VERDICT_TEST_KAFKA=maven          # fetched into a temporary folder, which is kept for the next time; needs Java 17 and Maven
 *     VERDICT_TEST_KAFKA=/opt/kafka/libs
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';

const where = process.env.VERDICT_TEST_KAFKA;
/** Kafka is a part of `npm run proofs`, not of `npm test`: to fetch and start it takes minutes. */
export const hasKafka = where !== undefined && where !== '';

const version = '4.4.0';

function programs(): string {
  if (where !== 'maven') return where!;
  const folder = join(tmpdir(), `verdict-kafka-${version}`);
  const lib = join(folder, 'lib');
  if (existsSync(join(folder, 'complete'))) return lib;
  mkdirSync(folder, { recursive: true });
  const dependency = (artifact: string) =>
    `<dependency><groupId>org.apache.kafka</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  writeFileSync(
    join(folder, 'pom.xml'),
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
     <groupId>test</groupId><artifactId>kafka</artifactId><version>1</version>
     <dependencies>${dependency('kafka_2.13')}${dependency('kafka-tools')}</dependencies></project>`,
  );
  execFileSync('mvn', ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`], {
    cwd: folder,
    stdio: 'inherit',
  });
  writeFileSync(join(folder, 'complete'), '');
  return lib;
}

export class KafkaServer {
  private child: ChildProcess | undefined;
  private topics = 0;

  private constructor(
    private readonly folder: string,
    private readonly lib: string,
    readonly port: number,
  ) {}

  static async start(): Promise<KafkaServer> {
    const lib = programs();
    const folder = mkdtempSync(join(tmpdir(), 'verdict-kafka-'));
    const [port, controller] = [await freePort(), await freePort()];
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
      'controller.listener.names': 'CONTROLLER',
      'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
      'log.dirs': join(folder, 'data'),
      'num.partitions': '3',
      'offsets.topic.replication.factor': '1',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'auto.create.topics.enable': 'false',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(join(folder, 'server.properties'), lines.join(''));
    const server = new KafkaServer(folder, lib, port);
    const format = ['format', '-t', 'MkU3OEVBNTcwNTJENDM2Qk', '-c', join(folder, 'server.properties')];
    execFileSync('java', ['-cp', join(lib, '*'), 'kafka.tools.StorageTool', ...format], { stdio: 'ignore' });
    await server.resume();
    return server;
  }

  get client(): Kafka {
    return new Kafka({
      brokers: [`127.0.0.1:${this.port}`],
      logLevel: logLevel.NOTHING,
      retry: { retries: 20, maxRetryTime: 2_000 },
    });
  }

  /** Makes a topic, and the URL of a sink for it. */
  async newTopic(configEntries: { name: string; value: string }[] = []): Promise<{ topic: string; url: string }> {
    const topic = `decisions-${++this.topics}`;
    const admin = this.client.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, configEntries }], waitForLeaders: true });
    await admin.disconnect();
    return { topic, url: `kafka://127.0.0.1:${this.port}/${topic}` };
  }

  /** Starts it again, with what it had. */
  async resume(): Promise<void> {
    this.child = spawn(
      'java',
      ['-Xmx512m', '-cp', join(this.lib, '*'), 'kafka.Kafka', join(this.folder, 'server.properties')],
      { stdio: 'ignore', cwd: this.folder, env: { PATH: process.env.PATH } },
    );
    const admin = this.client.admin();
    for (let attempt = 0; ; attempt++) {
      try {
        await admin.connect();
        await admin.listTopics();
        break;
      } catch (error) {
        if (attempt > 60) throw error;
        await delay(500);
      }
    }
    await admin.disconnect();
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** It keeps its connections and answers nothing. */
  freeze(): void {
    this.child!.kill('SIGSTOP');
  }

  thaw(): void {
    this.child!.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The messages of a topic, in the order of each partition. */
  async messages(topic: string, until: (found: readonly KafkaMessage[]) => boolean): Promise<KafkaMessage[]> {
    const consumer = this.client.consumer({ groupId: `test-${topic}-${Math.random()}` });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const found: KafkaMessage[] = [];
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        const headers = Object.fromEntries(
          Object.entries(message.headers ?? {}).map(([key, value]) => [key, String(value)]),
        );
        found.push({ partition, key: String(message.key), value: String(message.value), headers });
      },
    });
    const ends = performance.now() + 60_000;
    while (!until(found) && performance.now() < ends) await delay(100);
    await consumer.disconnect();
    return found;
  }
}

export interface KafkaMessage {
  readonly partition: number;
  readonly key: string;
  /** A record on each line. */
  readonly value: string;
  readonly headers: Record<string, string>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
