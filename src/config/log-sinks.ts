/** Where records also go: what `VERDICT_LOG_SINKS` names. */

export interface OtlpPlace {
  readonly kind: 'otlp';
  readonly name: string;
}

export interface KafkaPlace {
  readonly kind: 'kafka';
  /** The URL without name, password and options. */
  readonly name: string;
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly isTls: boolean;
  readonly sasl: KafkaSasl | undefined;
}

export type LogSinkPlace = OtlpPlace | KafkaPlace;

const saslMechanisms = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;

export interface KafkaSasl {
  readonly mechanism: (typeof saslMechanisms)[number];
  readonly username: string;
  readonly password: string;
}

/** What Kafka lets a topic be called. */
const topicName = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/;
const brokerName = /^(\[[\da-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/i;

/**
 * Reads the places of a list. Brokers of one cluster are separated by commas too, so a place begins where `otlp` or `kafka://` does.
 *
 *     logSinksIn('otlp, kafka://a:9092,b:9092/decisions')
 *     // [{ kind: 'otlp', … }, { kind: 'kafka', brokers: ['a:9092', 'b:9092'], topic: 'decisions', … }]
 *
 * @throws Error that says, without a secret, what is wrong
 */
export function logSinksIn(text: string | undefined): readonly LogSinkPlace[] {
  const parts = (text ?? '')
    .split(/[\s,]+(?=otlp(?:[\s,]|$)|[a-z]+:\/\/)/i)
    .map((part) => part.replace(/^[\s,]+|[\s,]+$/g, ''))
    .filter((part) => part !== '');
  const places = parts.map(placeOf);
  const names = places.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`names ${twice} twice`);
  return places;
}

/** Says what is wrong with a list; undefined for one that can be read. */
export function whyNotLogSinks(text: string): string | undefined {
  try {
    return logSinksIn(text).length === 0 ? 'must name otlp or kafka://host:9092/topic' : undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function placeOf(text: string): LogSinkPlace {
  if (text === 'otlp') return { kind: 'otlp', name: 'otlp' };
  // `URL` knows one host only.
  const parts = /^kafka:\/\/(?:([^:@/]+):([^@/]+)@)?([^@/?#]+)\/([^/?#]+)(?:\?([^#]*))?$/.exec(text);
  if (parts === null) throw new Error('must be a list of otlp and kafka://host:9092/topic');
  const [, user, password, hosts, topic, query] = parts as unknown as [
    string,
    string?,
    string?,
    string?,
    string?,
    string?,
  ];
  const brokers = hosts!.split(',').map((broker) => (broker.includes(':') ? broker : `${broker}:9092`));
  const wrong = brokers.find((broker) => Number(brokerName.exec(broker)?.[2] ?? 0) < 1);
  if (wrong !== undefined) throw new Error(`names the broker "${wrong}", which is not host:port`);
  if (!topicName.test(topic!))
    throw new Error('names a topic that Kafka does not allow: letters, digits and . _ - are');
  const options = new URLSearchParams(query);
  const unknown = [...options.keys()].find((option) => option !== 'tls' && option !== 'sasl');
  if (unknown !== undefined) throw new Error(`has the option "${unknown}"; there are tls and sasl`);
  const tls = options.get('tls') ?? 'false';
  if (tls !== 'true' && tls !== 'false') throw new Error('has the option tls, which is true or false');
  return {
    kind: 'kafka',
    name: `kafka://${brokers.join(',')}/${topic}`,
    brokers,
    topic: topic!,
    isTls: tls === 'true',
    sasl: saslOf(options.get('sasl'), user, password),
  };
}

function saslOf(asked: string | null, user: string | undefined, password: string | undefined): KafkaSasl | undefined {
  if (user === undefined || password === undefined) {
    if (asked !== null) throw new Error('has the option sasl, which wants kafka://<user>:<password>@…');
    return undefined;
  }
  const mechanism = saslMechanisms.find((known) => known === (asked ?? 'scram-sha-512'));
  if (mechanism === undefined) throw new Error(`has the option sasl, which is one of ${saslMechanisms.join(', ')}`);
  return { mechanism, username: decodeURIComponent(user), password: decodeURIComponent(password) };
}
