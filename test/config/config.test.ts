import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Config, configVariables } from '../../src/config/config.js';
import { ConfigError, describeConfig, readConfig } from '../../src/config/read-config.js';

const local = { policyDir: '../policies', auth: 'none' } as const;

function problemsOf(env: NodeJS.ProcessEnv, defaults: Partial<Config> = local): readonly string[] {
  try {
    readConfig(env, defaults);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  it('has defaults for everything but the policy folder', () => {
    const { config, warnings } = readConfig({}, local);
    expect(config).toMatchObject({ host: '127.0.0.1', port: 3000, decisionLog: 'sync', maxIdLength: 1024 });
    expect(warnings).toEqual([]);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('comes from the environment, numbers as numbers', () => {
    const { config } = readConfig({ VERDICT_PORT: '0', VERDICT_CROSS_CHECK: '0.01', VERDICT_HOST: '::1' }, local);
    expect(config).toMatchObject({ port: 0, crossCheck: 0.01, host: '::1' });
  });

  it('prefers the environment to the defaults of the command', () => {
    expect(readConfig({ VERDICT_POLICY_DIR: '/srv/policies' }, local).config.policyDir).toBe('/srv/policies');
  });

  it('takes an empty variable as not set', () => {
    expect(readConfig({ VERDICT_PORT: '' }, local).config.port).toBe(3000);
  });

  it('lists every problem at once, each with the name of its variable', () => {
    expect(
      problemsOf({
        VERDICT_PORT: '65536',
        VERDICT_CROSS_CHECK: 'some',
        VERDICT_LOG_LEVEL: 'loud',
        VERDICT_PUBLIC_URL: 'https://pdp.example/?x',
      }),
    ).toEqual([
      'VERDICT_PORT must not be greater than 65535 (it is "65536")',
      'VERDICT_PUBLIC_URL must be an http(s) URL without query, fragment or final slash (it is "https://pdp.example/?x")',
      expect.stringMatching(/^VERDICT_CROSS_CHECK must be a number .*\(it is "some"\)$/),
      'VERDICT_LOG_LEVEL must be one of the following values: fatal, error, warn, info, debug, trace, silent (it is "loud")',
    ]);
  });

  it('accepts the last port and refuses the next, accepts no attribute depth of 0', () => {
    expect(problemsOf({ VERDICT_PORT: '65535', VERDICT_MAX_ATTRIBUTE_DEPTH: '1' })).toEqual([]);
    expect(problemsOf({ VERDICT_PORT: '65536' })).toHaveLength(1);
    expect(problemsOf({ VERDICT_MAX_ATTRIBUTE_DEPTH: '0' })).toHaveLength(1);
  });

  it.each(['1e3', '0x10', ' 80', '80 ', '+80', '3000.5'])('does not take %j for a port', (port) => {
    expect(problemsOf({ VERDICT_PORT: port })).toHaveLength(1);
  });

  it('needs the policy folder in production', () => {
    expect(problemsOf({ VERDICT_AUTH: 'none' }, {})).toEqual([
      'VERDICT_POLICY_DIR must be set: it is the folder that holds the policy sets',
    ]);
  });

  it('requires authentication unless it is told otherwise', () => {
    expect(readConfig({}, { policyDir: '../policies' }).config.auth).toBe('required');
  });

  it('refuses to speak plain HTTP beyond loopback, unless a proxy in front speaks TLS', () => {
    const beyond = { VERDICT_HOST: '0.0.0.0', VERDICT_AUTH: 'required' };
    expect(problemsOf(beyond)).toEqual([
      expect.stringMatching(/^VERDICT_HOST is not a loopback address, so VERDICT_TLS_CERT .* must be set/),
    ]);
    expect(problemsOf({ ...beyond, VERDICT_TLS: 'terminated-elsewhere' })).toEqual([]);
    expect(problemsOf({ ...beyond, VERDICT_TLS_CERT: 'cert.pem', VERDICT_TLS_KEY: 'key.pem' })).toEqual([]);
  });

  it.each([
    ['VERDICT_TLS_CERT', 'cert.pem', 'VERDICT_TLS_CERT needs VERDICT_TLS_KEY'],
    ['VERDICT_TLS_CLIENT_CA', 'ca.pem', 'VERDICT_TLS_CLIENT_CA needs VERDICT_TLS_CERT'],
    ['VERDICT_TLS_CRL', 'crl.pem', 'VERDICT_TLS_CRL needs VERDICT_TLS_CLIENT_CA'],
    ['VERDICT_PLAIN_PORT', '80', 'VERDICT_PLAIN_PORT needs VERDICT_TLS_CERT'],
    ['VERDICT_JWT_ISSUER', 'https://id.example', 'VERDICT_JWT_ISSUER needs VERDICT_JWT_AUDIENCE'],
    ['VERDICT_JWT_AUDIENCE', 'verdict', 'VERDICT_JWT_AUDIENCE needs VERDICT_JWT_ISSUER'],
    ['VERDICT_JWT_ALGORITHMS', 'RS256,HS256', 'VERDICT_JWT_ALGORITHMS names "HS256"'],
    ['VERDICT_JWT_ALGORITHMS', 'none', 'VERDICT_JWT_ALGORITHMS names "none"'],
    ['VERDICT_CORS_ORIGINS', '*', 'VERDICT_CORS_ORIGINS names "*"'],
    ['VERDICT_CORS_ORIGINS', 'https://a.example/', 'VERDICT_CORS_ORIGINS names "https://a.example/"'],
    ['VERDICT_TRUSTED_PROXIES', '10.0.0.0/33', 'VERDICT_TRUSTED_PROXIES must be addresses'],
    ['VERDICT_RATE_LIMIT', '1000', 'VERDICT_RATE_LIMIT must be a rate'],
    ['VERDICT_RATE_LIMIT', '1000/s,burst=999', 'VERDICT_RATE_LIMIT must be a rate'],
    ['VERDICT_SEARCH_RATE_LIMIT', 'off', 'VERDICT_SEARCH_RATE_LIMIT must be a rate'],
    ['VERDICT_ENV', 'Prod', 'VERDICT_ENV must be'],
    ['VERDICT_ENCRYPTION_KEY', 'secret', 'VERDICT_ENCRYPTION_KEY must be 32 random bytes in base64'],
    ['VERDICT_MASK_KEY', 'secret', 'VERDICT_MASK_KEY must be 32 random bytes in base64'],
    ['VERDICT_MAX_STALENESS', '1999ms', 'VERDICT_MAX_STALENESS must be a duration such as 30s or 5m, of 2s at least'],
    ['VERDICT_MAX_STALENESS', '0', 'VERDICT_MAX_STALENESS must be a duration'],
    ['VERDICT_MAX_STALENESS', '30', 'VERDICT_MAX_STALENESS must be a duration'],
    ['VERDICT_KEYS_MAX_AGE', '9999ms', 'VERDICT_KEYS_MAX_AGE must be a duration such as 24h'],
    ['VERDICT_KEYS_MAX_AGE', '0', 'VERDICT_KEYS_MAX_AGE must be a duration such as 24h'],
    ['VERDICT_KEYS_MAX_AGE', '24', 'VERDICT_KEYS_MAX_AGE must be a duration such as 24h'],
  ])('refuses %s=%s', (name, value, problem) => {
    expect(problemsOf({ [name]: value })).toEqual([expect.stringContaining(problem)]);
  });

  it('does not fetch the keys of an issuer over plain HTTP, but from this machine', () => {
    const audience = { VERDICT_JWT_AUDIENCE: 'verdict' };
    expect(problemsOf({ ...audience, VERDICT_JWT_ISSUER: 'http://id.example' })).toEqual([
      expect.stringContaining('which is no https URL'),
    ]);
    expect(problemsOf({ ...audience, VERDICT_JWT_ISSUER: 'http://127.0.0.1:8080' })).toEqual([]);
  });

  it.each(['2s', '1m'])('accepts %s as the highest age of what is served', (age) => {
    expect(problemsOf({ VERDICT_MAX_STALENESS: age })).toEqual([]);
  });

  it.each(['10s', '24h', '7d'])('accepts %s as the time that keys of PostgreSQL are good while it is away', (age) => {
    expect(problemsOf({ VERDICT_KEYS_MAX_AGE: age })).toEqual([]);
  });

  it.each(['127.0.0.1', '127.8.9.10', 'localhost', '::1'])('accepts no authentication on %s', (host) => {
    expect(problemsOf({ VERDICT_HOST: host })).toEqual([]);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', 'localhost.example.org'])(
    'refuses no authentication on %s',
    (host) => {
      expect(problemsOf({ VERDICT_HOST: host })).toEqual([
        expect.stringContaining(
          'VERDICT_AUTH is "none", which is accepted only when VERDICT_HOST is a loopback address',
        ),
      ]);
    },
  );

  it('refuses a variable it does not know and names the nearest', () => {
    expect(problemsOf({ VERDICT_POLICYDIR: 'x', VERDICT_WHOLLY_DIFFERENT: 'y' })).toEqual([
      'VERDICT_POLICYDIR is not a variable of Verdict; did you mean VERDICT_POLICY_DIR?',
      'VERDICT_WHOLLY_DIFFERENT is not a variable of Verdict',
    ]);
  });

  it('leaves variables of tests alone', () => {
    expect(readConfig({ VERDICT_TEST_REQUIRE: 'all' }, local).warnings).toEqual([]);
  });

  it('warns where a proxy in front speaks TLS and none is trusted', () => {
    const env = { VERDICT_TLS: 'terminated-elsewhere' };
    expect(readConfig(env, local).warnings).toEqual([expect.stringContaining('VERDICT_TRUSTED_PROXIES is not set')]);
    expect(readConfig({ ...env, VERDICT_TRUSTED_PROXIES: '10.0.0.0/8' }, local).warnings).toEqual([]);
  });

  it('wants a port of its own for gRPC', () => {
    expect(readConfig({ VERDICT_PORT: '3000', VERDICT_GRPC_PORT: '3001' }, local).config.grpcPort).toBe(3001);
    expect(readConfig({ VERDICT_PORT: '0', VERDICT_GRPC_PORT: '0' }, local).config.grpcPort).toBe(0);
    expect(readConfig({}, local).config.grpcPort).toBeUndefined();
    for (const wrong of ['3000', '-1', '65536', 'x']) {
      expect(() => readConfig({ VERDICT_PORT: '3000', VERDICT_GRPC_PORT: wrong }, local), wrong).toThrow(
        'VERDICT_GRPC_PORT',
      );
    }
  });

  it('ignores what Kubernetes injects beside a Service, with a warning', () => {
    const { config, warnings } = readConfig(
      {
        VERDICT_SERVICE_HOST: '10.96.0.12',
        VERDICT_SERVICE_PORT_HTTP: '3000',
        VERDICT_PORT: 'tcp://10.96.0.12:3000',
        VERDICT_GRPC_PORT: 'tcp://10.96.0.13:9000',
        VERDICT_GRPC_SERVICE_HOST: '10.96.0.13',
        VERDICT_GRPC_PORT_9000_TCP_ADDR: '10.96.0.13',
        VERDICT_PORT_3000_TCP_ADDR: '10.96.0.12',
      },
      local,
    );
    expect(config.port).toBe(3000);
    expect(warnings.map((warning) => warning.split(' ')[0])).toEqual([
      'VERDICT_SERVICE_HOST',
      'VERDICT_SERVICE_PORT_HTTP',
      'VERDICT_PORT',
      'VERDICT_GRPC_PORT',
      'VERDICT_GRPC_SERVICE_HOST',
      'VERDICT_GRPC_PORT_9000_TCP_ADDR',
      'VERDICT_PORT_3000_TCP_ADDR',
    ]);
  });

  it('reads a secret from a file and shows it masked', () => {
    const directory = mkdtempSync(join(tmpdir(), 'verdict-config-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'url');
    writeFileSync(file, 'sqlite://user:hunter2@host/db\n');
    const read = readConfig({ VERDICT_DATABASE_URL_FILE: file }, local);
    expect(read.config.databaseUrl).toBe('sqlite://user:hunter2@host/db');
    expect(describeConfig(read)).toContain('VERDICT_DATABASE_URL=sqlite://user:********@host/db');
    expect(describeConfig(read)).not.toContain('hunter2');
  });

  it('takes the URL of a PostgreSQL database, shows it without its password, and refuses a wrong one by its fault', () => {
    const url = 'postgres://verdict:hunter2@db/verdict?sslmode=disable';
    const read = readConfig({ VERDICT_DATABASE_URL: url, VERDICT_SPOOL_DIR: '/var/spool/verdict' }, local);
    expect(read.warnings).toEqual([]);
    expect(describeConfig(read)).toContain(url.replace('hunter2', '********'));
    expect(problemsOf({ VERDICT_DATABASE_URL: `${url}&sslmode=require` })).toEqual([
      'VERDICT_DATABASE_URL has the parameter "sslmode" twice',
    ]);
    expect(problemsOf({ VERDICT_DATABASE_URL: 'postgresql://verdict:hunter2@db' })[0]).toMatch(/names no database/);
    expect(problemsOf({ VERDICT_DATABASE_URL: 'mysql://verdict:hunter2@db' })).toEqual([
      'VERDICT_DATABASE_URL must be sqlite:<path of the file> or postgres://<user>:<password>@<host>:<port>/<database>',
    ]);
  });

  it('warns of a spool folder that an SQLite database does not use', () => {
    expect(readConfig({ VERDICT_SPOOL_DIR: '/tmp' }, local).warnings).toEqual([
      expect.stringMatching(/^VERDICT_SPOOL_DIR is ignored/),
    ]);
  });

  it('takes bundles from a URL whose password it never shows, and warns where no keys are configured', () => {
    const env = { VERDICT_POLICY_SOURCE: 'bundle', VERDICT_BUNDLE_URL: 'https://ci:hunter2@bundles.example/prod' };
    const read = readConfig(env, {});
    expect(describeConfig(read)).toMatch(/VERDICT_BUNDLE_URL=https:\/\/ci:\*+@bundles\.example\/prod/);
    expect(read.warnings).toEqual([expect.stringMatching(/^VERDICT_BUNDLE_KEYS is not set/)]);
    const keys = { VERDICT_BUNDLE_KEYS: 'old.pem, https://keys.example/jwks' };
    expect(readConfig({ ...env, ...keys }, {}).warnings).toEqual([]);
    const wrong = { ...env, VERDICT_BUNDLE_URL: 'http://ci:hunter2@bundles.example/prod' };
    expect(() => readConfig(wrong, {})).toThrow(/^(?![\s\S]*hunter2)[\s\S]*VERDICT_BUNDLE_URL must be an https/);
    expect(() => readConfig({ ...env, VERDICT_BUNDLE_KEYS: ',' }, {})).toThrow(/VERDICT_BUNDLE_KEYS must name/);
    for (const url of ['https://ci:hunter2@k.example/', 'http://hunter2@k.example/', 'https://ci:hunter2@/']) {
      const read = () => readConfig({ ...env, VERDICT_BUNDLE_KEYS: url }, {});
      expect(read).toThrow(/^(?![\s\S]*hunter2)[\s\S]*VERDICT_BUNDLE_KEYS names a URL/);
    }
    for (const poll of ['1s', '1h'])
      expect(readConfig({ ...env, VERDICT_BUNDLE_POLL: poll }, {}).config.bundlePoll).toBe(poll);
  });

  it('refuses a staleness that bundles exceed between two looks', () => {
    const env = { VERDICT_POLICY_SOURCE: 'bundle', VERDICT_BUNDLE_URL: 'file:///srv', VERDICT_BUNDLE_POLL: '5s' };
    expect(readConfig({ ...env, VERDICT_MAX_STALENESS: '6000ms' }, {}).config.bundlePoll).toBe('5s');
    expect(() => readConfig({ ...env, VERDICT_MAX_STALENESS: '5999ms' }, {})).toThrow(
      /VERDICT_BUNDLE_POLL is 5s, and VERDICT_MAX_STALENESS would refuse.*6000ms at least/,
    );
  });

  it('warns of variables of bundles where they are not the source', () => {
    const env = { VERDICT_BUNDLE_URL: 'file:///srv/bundles', VERDICT_BUNDLE_POLL: '1m' };
    expect(readConfig(env, local).warnings).toEqual([
      'VERDICT_BUNDLE_URL is ignored: VERDICT_POLICY_SOURCE is directory',
      'VERDICT_BUNDLE_POLL is ignored: VERDICT_POLICY_SOURCE is directory',
    ]);
    const withKeys = { ...env, VERDICT_BUNDLE_KEYS: '/etc/keys.pem' };
    const warned = (source: string) => readConfig({ ...withKeys, VERDICT_POLICY_SOURCE: source }, local).warnings;
    expect(warned('directory').some((warning) => warning.includes('VERDICT_BUNDLE_KEYS'))).toBe(true);
    // Bundles may be written there.
    expect(warned('database').some((warning) => warning.includes('VERDICT_BUNDLE_KEYS'))).toBe(false);
  });

  it('refuses a secret that is given twice or cannot be read, and a file for what is no secret', () => {
    expect(problemsOf({ VERDICT_DATABASE_URL: 'sqlite:a', VERDICT_DATABASE_URL_FILE: '/dev/null' })).toEqual([
      'VERDICT_DATABASE_URL is set twice: as VERDICT_DATABASE_URL and as VERDICT_DATABASE_URL_FILE',
    ]);
    expect(problemsOf({ VERDICT_DATABASE_URL_FILE: '/nowhere/url' })).toEqual([
      expect.stringMatching(/^VERDICT_DATABASE_URL_FILE cannot be read: ENOENT/),
    ]);
    expect(problemsOf({ VERDICT_PORT_FILE: '/dev/null' })[0]).toMatch(/^VERDICT_PORT_FILE is not a variable/);
  });

  it('never repeats a secret in a problem', () => {
    expect(problemsOf({ VERDICT_DATABASE_URL: 'mysql://root:hunter2@host' }).join()).not.toContain('hunter2');
  });

  it('says which values are defaults', () => {
    expect(describeConfig(readConfig({ VERDICT_PORT: '8080' }, local)).split('\n')).toEqual(
      expect.arrayContaining(['VERDICT_PORT=8080', 'VERDICT_HOST=127.0.0.1  # default']),
    );
  });

  it('is documented in one table (vitest -u writes it anew)', async () => {
    await expect(configurationPage()).toMatchFileSnapshot('../../docs/configuration.md');
  });
});

function configurationPage(): string {
  const defaults = new Config();
  const rows = configVariables.map(({ property, name, description, secret }) => {
    const value = defaults[property];
    return `| \`${name}\`${secret ? ' (secret)' : ''} | ${value === undefined ? '' : `\`${value}\``} | ${description} |`;
  });
  return `# Configuration

Verdict is configured by environment variables. They are checked when it starts: every problem is listed at once with the
variable's name, and the exit code is 78. An empty variable counts as not set; an unknown \`VERDICT_*\` variable is a problem
(\`VERDICT_TEST_*\` and what Kubernetes injects beside a Service named \`verdict\` are not). Each secret can come from a file
instead: \`VERDICT_DATABASE_URL_FILE=/run/secrets/database-url\`. \`verdict config check\` prints what is in effect, secrets masked.

| variable | default | |
|---|---|---|
${rows.join('\n')}
`;
}
