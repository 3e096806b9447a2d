/** Decision records in a real Kafka that is killed, frozen and away; a part of `npm run proofs`. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KafkaPlace, logSinksIn } from '../../src/config/log-sinks.js';
import { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { KafkaSink } from '../../src/log-sinks/kafka/kafka-sink.js';
import { temporaryDirectory } from '../decision-log/temporary-log.js';
import { hasKafka, type KafkaMessage, KafkaServer } from './kafka-server.js';
import { startSunkLog } from './sink-log.js';

describe.skipIf(!hasKafka)('the sink kafka (skipped without VERDICT_TEST_KAFKA: npm run proofs -- kafka)', () => {
  let kafka: KafkaServer;
  beforeAll(async () => {
    kafka = await KafkaServer.start();
  }, 600_000);
  afterAll(() => kafka.stop());

  const sinkOf = (url: string) => new KafkaSink(logSinksIn(url)[0] as KafkaPlace, 'replica-a', () => undefined);

  async function start(url: string, directory = temporaryDirectory()) {
    return startSunkLog(directory, sinkOf(url), async ({ retention, onProblem }) => {
      const log = new SqliteDecisionLog({
        databasePath: join(directory, 'verdict.sqlite'),
        mode: 'sync',
        ...(retention !== undefined && { retention }),
        ...(onProblem !== undefined && { onProblem }),
      });
      await log.start();
      return log;
    });
  }

  const recordsIn = (messages: readonly KafkaMessage[]) =>
    messages.flatMap(({ value }) =>
      value
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
  const idsIn = (messages: readonly KafkaMessage[]) => recordsIn(messages).map(({ id }) => id as string);

  it('gets groups of records, of one process in one partition and in order', async () => {
    const { topic, url } = await kafka.newTopic();
    const { append, log } = await start(url);
    const ids = await append(1_000);
    const messages = await kafka.messages(topic, (found) => idsIn(found).length >= 1_000);
    expect(idsIn(messages)).toEqual(ids);
    expect(recordsIn(messages)[0]).toEqual(await log.find(ids[0]!));
    expect(new Set(messages.map(({ partition }) => partition)).size).toBe(1);
    expect(messages.length).toBeLessThan(100);
    const { name } = log.status;
    expect(messages[0]).toMatchObject({
      key: name,
      headers: {
        'content-type': 'application/x-ndjson',
        'verdict-instance': 'replica-a',
        'verdict-journal': name,
        'verdict-first': '1',
      },
    });
    let next = 1;
    for (const { headers } of messages) {
      expect(Number(headers['verdict-first'])).toBe(next);
      next += Number(headers['verdict-records']);
    }
  });

  it('loses nothing while the broker is killed and started again, and commits go on as before', async () => {
    const { topic, url } = await kafka.newTopic();
    const { append, sinks } = await start(url);
    const ids: string[] = [];
    const waits: Record<'with' | 'without', number[]> = { with: [], without: [] };
    const some = async (which: 'with' | 'without', rounds: number) => {
      for (let i = 0; i < rounds; i++) {
        const started = performance.now();
        ids.push(...(await append(64)));
        waits[which].push(performance.now() - started);
      }
    };
    await some('with', 150);
    await kafka.kill();
    await some('without', 150);
    await expect.poll(async () => (await sinks.statuses())[0]!.problem).toBeDefined();
    await kafka.resume();
    await some('with', 50);
    await expect.poll(async () => (await sinks.statuses())[0]!.lag, { timeout: 60_000 }).toBe(0);
    const messages = await kafka.messages(topic, (found) => new Set(idsIn(found)).size >= ids.length);
    const got = idsIn(messages);
    expect([...new Set(got)].sort()).toEqual([...ids].sort());
    // What came twice is what was on its way when it was killed.
    expect(got.length - ids.length).toBeLessThanOrEqual(2_048);
    const [up, down] = [percentileOf(waits.with, 0.99), percentileOf(waits.without, 0.99)];
    console.log(`a commit of 64, p99: ${up.toFixed(1)} ms with the broker, ${down.toFixed(1)} ms without`);
    expect(down).toBeLessThan(Math.max(100, 3 * up));
  });

  it('loses nothing while the broker answers nothing, and the stop does not wait for it', async () => {
    const { topic, url } = await kafka.newTopic();
    const directory = temporaryDirectory();
    const first = await start(url, directory);
    const ids = await first.append(100);
    await expect.poll(async () => (await first.sinks.statuses())[0]!.lag).toBe(0);
    kafka.freeze();
    try {
      ids.push(...(await first.append(100)));
      const started = performance.now();
      await first.stop();
      expect(performance.now() - started).toBeLessThan(10_000);
    } finally {
      kafka.thaw();
    }
    const second = await start(url, directory);
    ids.push(...(await second.append(100)));
    const messages = await kafka.messages(topic, (found) => new Set(idsIn(found)).size >= 300);
    expect([...new Set(idsIn(messages))]).toEqual(ids);
  });

  it('passes over one record that the broker does not take, and counts it', async () => {
    const { topic, url } = await kafka.newTopic([{ name: 'max.message.bytes', value: '20000' }]);
    const { append, log, sinks } = await start(url);
    const { exampleRecord } = await import('../decision-log/example-records.js');
    const before = await append(5);
    const large = exampleRecord(log, { now: Date.now(), attributes: { text: 'x'.repeat(30_000) } });
    await Promise.all([log.append(large), append(5).then((after) => before.push(...after))]);
    const messages = await kafka.messages(topic, (found) => idsIn(found).length >= 10);
    expect(idsIn(messages)).toEqual(before);
    await expect.poll(async () => (await sinks.statuses())[0]).toMatchObject({ refused: 1, lag: 0 });
  });

  it('waits for a topic that is not there, and says so', async () => {
    const { append, sinks } = await start(`kafka://127.0.0.1:${kafka.port}/nowhere`);
    await append(1);
    await expect.poll(async () => (await sinks.statuses())[0]!.problem).toBeDefined();
    expect((await sinks.statuses())[0]).toMatchObject({ lag: 1, refused: 0, lost: 0 });
  });
});

function percentileOf(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)]!;
}
