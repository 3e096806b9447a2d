import { Kafka, logLevel, Partitioners, type Producer } from 'kafkajs';
import type { KafkaPlace } from '../../config/log-sinks.js';
import { Turns } from '../../turns/turns.js';
import { type OutgoingRecord, type RecordSink, type RecordSource, RecordsRefused } from '../record-sink.js';
import { sendApart } from '../send-apart.js';

/** Most records of a message, and most of their text in bytes if they are more than one: brokers take a megabyte by default. */
const messageRecords = 128;
const messageBytes = 256 * 1024;
/** Most text of what is sent at once: the broker's limit is that of all messages of a partition together. */
const sendBytes = 512 * 1024;
const connectionTimeoutMs = 3_000;
const requestTimeoutMs = 10_000;

/** What a broker will not take, however often it is sent. */
const refusals = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'CORRUPT_MESSAGE']);

/**
 * Sends records to a topic of Kafka, a group to a message, one record on each of its lines (NDJSON). The key is the name of the journal,
 * so what one process answered is in one partition, in order.
 *
 * The producer is idempotent: what the client itself sends again is in the topic once. After a failure another producer begins: its numbers
 * would be those of what may have arrived, and a broker drops what has the number of something else.
 */
export class KafkaSink implements RecordSink {
  readonly name: string;
  private readonly kafka: Kafka;
  private producer: Promise<Producer> | undefined;

  constructor(
    private readonly place: KafkaPlace,
    instance: string,
    onMessage: (message: string) => void,
  ) {
    const { name, brokers, isTls, sasl } = place;
    this.name = name;
    this.kafka = new Kafka({
      clientId: `verdict-${instance}`,
      brokers: [...brokers],
      ssl: isTls,
      ...(sasl !== undefined && { sasl: saslOf(sasl) }),
      connectionTimeout: connectionTimeoutMs,
      requestTimeout: requestTimeoutMs,
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
      logLevel: logLevel.WARN,
      logCreator:
        () =>
        ({ log: { message } }) =>
          onMessage(message),
    });
  }

  async send(records: readonly OutgoingRecord[], source: RecordSource): Promise<readonly OutgoingRecord[]> {
    const refused: OutgoingRecord[] = [];
    let rest = records;
    while (rest.length > 0) {
      const count = countWithin(rest, sendBytes);
      refused.push(...(await sendApart(rest.slice(0, count), (some) => this.produce(some, source))));
      rest = rest.slice(count);
    }
    return refused;
  }

  async close(): Promise<void> {
    const { producer } = this;
    this.producer = undefined;
    await (await producer)?.disconnect();
  }

  private async produce(records: readonly OutgoingRecord[], source: RecordSource): Promise<void> {
    const messages = [];
    const turns = new Turns();
    for (let rest = records; rest.length > 0; ) {
      if (turns.isOver) await turns.next();
      const group = rest.slice(0, Math.min(messageRecords, countWithin(rest, messageBytes)));
      messages.push(messageOf(group, source));
      rest = rest.slice(group.length);
    }
    try {
      this.producer ??= this.connect();
      const producer = await this.producer;
      await producer.send({ topic: this.place.topic, acks: -1, timeout: requestTimeoutMs, messages });
    } catch (error) {
      const failed = this.producer;
      this.producer = undefined;
      void failed?.then((producer) => producer.disconnect()).catch(() => undefined);
      const type = typeOf(error);
      if (type !== undefined && refusals.has(type)) throw new RecordsRefused(`the broker answers ${type}`);
      throw error;
    }
  }

  private async connect(): Promise<Producer> {
    const producer = this.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
    });
    await producer.connect();
    return producer;
  }
}

/** How many records have so much text, in bytes; one at least. */
function countWithin(records: readonly OutgoingRecord[], bytes: number): number {
  let length = 0;
  for (let i = 0; i < records.length; i++) {
    length += Buffer.byteLength(records[i]!.text) + 1;
    if (length > bytes) return Math.max(1, i);
  }
  return records.length;
}

function messageOf(records: readonly OutgoingRecord[], { journal, instance }: RecordSource) {
  const [first] = records as readonly [OutgoingRecord];
  return {
    key: journal,
    value: records.map(({ text }) => `${text}\n`).join(''),
    timestamp: String(Date.parse(records.at(-1)!.record.time)),
    headers: {
      'content-type': 'application/x-ndjson',
      'verdict-instance': instance,
      'verdict-journal': journal,
      'verdict-first': String(first.record.sequence),
      'verdict-records': String(records.length),
    },
  };
}

function saslOf({ mechanism, username, password }: NonNullable<KafkaPlace['sasl']>) {
  // Sound: the three mechanisms have these two members; the types of kafkajs want each of them by itself.
  return { mechanism: mechanism as 'plain', username, password };
}

/** The name of a broker's error, which may lie below that of the retries. */
function typeOf(error: unknown): string | undefined {
  for (let at = error as { type?: unknown; cause?: unknown } | undefined; at != null; at = at.cause as typeof at) {
    if (typeof at.type === 'string') return at.type;
  }
  return undefined;
}
