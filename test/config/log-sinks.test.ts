import { describe, expect, it } from 'vitest';
import { logSinksIn, whyNotLogSinks } from '../../src/config/log-sinks.js';
import { ConfigError, describeConfig, readConfig } from '../../src/config/read-config.js';

describe('VERDICT_LOG_SINKS', () => {
  it('names places, and of one cluster several brokers', () => {
    expect(logSinksIn('otlp, kafka://a:9092,b:9093/decisions kafka://[::1]:9092/other.topic')).toEqual([
      { kind: 'otlp', name: 'otlp' },
      {
        kind: 'kafka',
        name: 'kafka://a:9092,b:9093/decisions',
        brokers: ['a:9092', 'b:9093'],
        topic: 'decisions',
        isTls: false,
        sasl: undefined,
      },
      expect.objectContaining({ brokers: ['[::1]:9092'], topic: 'other.topic' }),
    ]);
    expect(logSinksIn(undefined)).toEqual([]);
  });

  it('takes a name and a password, which its own name does not hold', () => {
    expect(logSinksIn('kafka://ana:hunter%402@a:9093/t?tls=true&sasl=plain')).toEqual([
      {
        kind: 'kafka',
        name: 'kafka://a:9093/t',
        brokers: ['a:9093'],
        topic: 't',
        isTls: true,
        sasl: { mechanism: 'plain', username: 'ana', password: 'hunter@2' },
      },
    ]);
    expect(logSinksIn('kafka://a:9092/t')[0]).not.toHaveProperty('sasl.username');
  });

  it.each([
    ['otlp,otlp', 'names otlp twice'],
    ['kafka://a:9092', 'must be a list of otlp and kafka://host:9092/topic'],
    ['kafka://a:9092/a/b', 'must be a list of otlp and kafka://host:9092/topic'],
    ['kafka://a:9092/..', 'names a topic that Kafka does not allow: letters, digits and . _ - are'],
    [`kafka://a:9092/${'t'.repeat(250)}`, 'names a topic that Kafka does not allow: letters, digits and . _ - are'],
    ['kafka://a:0/t', 'names the broker "a:0", which is not host:port'],
    ['kafka://a:9092/t?acks=0', 'has the option "acks"; there are tls and sasl'],
    ['kafka://a:9092/t?tls=yes', 'has the option tls, which is true or false'],
    ['kafka://a:9092/t?sasl=plain', 'has the option sasl, which wants kafka://<user>:<password>@…'],
    ['kafka://u:p@a:9092/t?sasl=gssapi', 'has the option sasl, which is one of plain, scram-sha-256, scram-sha-512'],
    ['file:///tmp/x', 'must be a list of otlp and kafka://host:9092/topic'],
    [' , ', 'must name otlp or kafka://host:9092/topic'],
  ])('refuses %s', (text, fault) => {
    expect(whyNotLogSinks(text)).toBe(fault);
  });

  it('takes a topic of 249 characters', () => {
    expect(whyNotLogSinks(`kafka://a:9092/${'t'.repeat(249)}`)).toBeUndefined();
  });

  it('wants records', () => {
    const read = () => readConfig({ VERDICT_LOG_SINKS: 'otlp', VERDICT_DECISION_LOG: 'off', VERDICT_POLICY_DIR: 'p' });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow('VERDICT_LOG_SINKS wants records, and VERDICT_DECISION_LOG is off');
  });

  it('is shown without its password', () => {
    const read = readConfig({ VERDICT_LOG_SINKS: 'kafka://ana:hunter2@a:9092/t', VERDICT_POLICY_DIR: 'p' });
    expect(describeConfig(read)).not.toContain('hunter2');
    expect(
      describeConfig(
        readConfig({ VERDICT_LOG_SINKS: 'otlp,kafka://ana:hunter2@a:9092,b:9092/t', VERDICT_POLICY_DIR: 'p' }),
      ),
    ).not.toContain('hunter2');
  });
});
