/**
 * Everything an operator can set, as environment variables: one class is the list, the validation and the documentation.
 * It is read once at start (`read-config.ts`) and frozen; each folder is then handed its own part as plain arguments.
 */
import 'reflect-metadata';
import {
  IsIn,
  IsInt,
  IsNotEmpty,
  IsNumber,
  IsOptional,
  IsString,
  Matches,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
  type ValidationArguments,
} from 'class-validator';
import { parseDuration } from '../core/duration.js';
import { whyNotEncryptionKey, whyNotEncryptionKeys } from '../encryption/encryption-keys.js';
import { addressList } from './address-list.js';
import { whyNotBundleUrl, whyNotKeyPlace } from './bundle-places.js';
import { whyNotCheckpointSink } from './checkpoint-sink.js';
import { environmentName } from './environment-name.js';
import { whyNotLogSinks } from './log-sinks.js';
import { isLoopback } from './loopback.js';
import { isPostgresUrl, parsePostgresUrl } from './postgres-url.js';
import { parseRate } from './rate.js';
import { ed25519KeysIn } from './signing-keys.js';
import { isTrustworthyUrl, tokenAlgorithms } from './token-rules.js';
import { mostWorkers } from './worker-count.js';

export const variablePrefix = 'VERDICT_';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export const policySources = ['directory', 'bundle', 'database'] as const;
export const drafts = ['mcp', 'obligations'] as const;
export const decisionLogModes = ['sync', 'fsync', 'async', 'off', 'replicated'] as const;

/** One environment variable: `publicUrl` is read from `VERDICT_PUBLIC_URL`. */
export interface Variable {
  readonly property: keyof Config;
  readonly name: string;
  readonly description: string;
  /** A secret can also come as `<name>_FILE`, and is shown masked. */
  readonly secret: boolean;
}

const variables: Variable[] = [];

function Variable(description: string, options: { secret?: boolean } = {}): PropertyDecorator {
  return (_target, key) => {
    const property = key as keyof Config;
    const name = `${variablePrefix}${property.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
    variables.push(Object.freeze({ property, name, description, secret: options.secret ?? false }));
  };
}

/** A rule with its own message, or one that reads other variables. `fault` returns what is wrong, or undefined. */
function Rule(fault: (value: unknown, config: Config) => string | undefined): PropertyDecorator {
  const faultOf = (args: ValidationArguments) => fault(args.value, args.object as Config);
  return ValidateBy({
    name: 'rule',
    validator: {
      validate: (_value, args) => faultOf(args!) === undefined,
      defaultMessage: (args) => `$property ${faultOf(args!)}`,
    },
  });
}

export class Config {
  @Variable('Address to listen on.')
  @Matches(/^[A-Za-z0-9.:_-]+$/, { message: '$property must be a host name or an IP address' })
  @Rule((host, { auth, tls, tlsCert }) => {
    if (auth === 'none' || isLoopback(host as string) || tls !== undefined || tlsCert !== undefined) return undefined;
    return 'is not a loopback address, so VERDICT_TLS_CERT and VERDICT_TLS_KEY must be set, or VERDICT_TLS=terminated-elsewhere where a proxy does it';
  })
  readonly host: string = '127.0.0.1';

  @Variable('Port to listen on; 0 picks a free one.')
  @IsInt()
  @Min(0)
  @Max(65535)
  readonly port: number = 3000;

  @Variable('The URL under which callers know the service, without a slash at its end. Default: what it listens on.')
  @IsOptional()
  @Rule((value) => (isBaseUrl(value) ? undefined : 'must be an http(s) URL without query, fragment or final slash'))
  readonly publicUrl?: string;

  @Variable('Private key in PEM that AuthZEN metadata is signed with. Default: it is not signed.', { secret: true })
  @IsOptional()
  @IsString()
  readonly authzenSigningKey?: string;

  @Variable(
    'Where the checkpoints of the fleet go, one a minute, beside the log of the process: a file that is appended to, `s3://bucket/folder` (an object each, created only), or an `https://` URL that each is posted to. See docs/decision-log-proof.md.',
    { secret: true },
  )
  @IsOptional()
  @Rule((value) => whyNotCheckpointSink(String(value)))
  readonly checkpointSink?: string;

  @Variable(
    "The fleet's Ed25519 private key, PEM: it certifies the key with which each replica signs checkpoints of its decision log. Several: the first one signs, and each other certifies it. See docs/decision-log-proof.md.",
    { secret: true },
  )
  @IsOptional()
  @Rule((value) => (ed25519KeysIn(value as string) ? undefined : 'must be Ed25519 private keys in PEM'))
  readonly logSigningKey?: string;

  @Variable(
    'Keys that decision records and archived policies are encrypted with on the disk and in PostgreSQL: 32 random bytes each in base64 (`openssl rand -base64 32`), the newest first, with commas or line feeds between them. The first one encrypts, all decrypt. Default: nothing is encrypted. See docs/encryption.md.',
    { secret: true },
  )
  @IsOptional()
  @Rule((value) => whyNotEncryptionKeys(value as string))
  readonly encryptionKey?: string;

  @Variable(
    'Key of 32 random bytes in base64 (`openssl rand -base64 32`) for the hashes that records show of attributes under `decisionLog.hash` in a manifest. With another key equal values have other hashes. Default: such attributes are masked.',
    { secret: true },
  )
  @IsOptional()
  @Rule((value) => whyNotEncryptionKey(value as string))
  readonly maskKey?: string;

  @Variable(
    'Where policy sets come from: `directory`, the folders of VERDICT_POLICY_DIR; `bundle`, signed files at VERDICT_BUNDLE_URL; `database`, what was written by `PUT /v1/policy-sets/{set}`. See docs/policy-sources.md.',
  )
  @IsIn(policySources)
  readonly policySource: (typeof policySources)[number] = 'directory';

  @Variable(
    'With the source `directory`: folder that holds the policy sets. `npm start` sets it to `./policies`. Ignored with other sources.',
  )
  @ValidateIf(({ policySource }: Config) => policySource === 'directory')
  @IsNotEmpty({ message: '$property must be set: it is the folder that holds the policy sets' })
  @IsString()
  readonly policyDir!: string;

  @Variable(
    'With the source `bundle`: the folder of bundles, as `https://…`, `s3://bucket/folder` or `file:///folder`; `https://<user>:<password>@…` sends HTTP Basic. S3 reads the variables of the AWS tools. See docs/bundles.md.',
    { secret: true },
  )
  @ValidateIf(({ policySource, bundleUrl }: Config) => policySource === 'bundle' || bundleUrl !== undefined)
  @Rule((url) =>
    url === undefined ? 'must be set: it is the folder that bundles come from' : whyNotBundleUrl(String(url)),
  )
  readonly bundleUrl?: string;

  @Variable(
    'The public keys whose signatures count, as files in PEM or JWKS, or https URLs of JWKS, separated by commas. With the source `bundle` nothing else is served then; with `database` sets are written as signed bundles alone. Default: none, and whatever is at VERDICT_BUNDLE_URL, or is written, is served.',
  )
  @IsOptional()
  @Rule((value) => {
    const places = listIn(value as string);
    if (places.length === 0) return 'must name a file or an https URL';
    return places.map(whyNotKeyPlace).find((fault) => fault !== undefined);
  })
  readonly bundleKeys?: string;

  @Variable('With the source `bundle`: longest time between two looks at the index, such as `10s`.')
  @Rule((value, config) => whyNotPoll(value as string, config))
  readonly bundlePoll: string = '10s';

  @Variable(
    'Most policy sets that are served. Further ones are not loaded, and say so (`too_many_policy_sets`); with the source `database` none is written.',
  )
  @IsInt()
  @Min(1)
  readonly maxPolicySets: number = 10_000;

  @Variable('Set that answers requests which name none. Default: the set named `default`, else the only one.')
  @IsOptional()
  @IsString()
  readonly defaultPolicySet?: string;

  @Variable(
    'How long ago, such as `30s`, the source of a policy set may have been confirmed last; beyond that its requests are refused with 503. A request can demand less. Default: any time. See docs/freshness.md.',
  )
  @IsOptional()
  @Rule((value) => whyNotStaleness(value as string))
  readonly maxStaleness?: string;

  @Variable(
    'The database: `sqlite:<file>`, beside which decisions are recorded in files of their own, or `postgres://<user>:<password>@<host>:<port>/<database>`, for many replicas. See docs/postgres.md.',
    { secret: true },
  )
  @Rule((value) => whyNotDatabase(value as string))
  readonly databaseUrl: string = 'sqlite:./data/verdict.sqlite';

  @Variable("With PostgreSQL: the folder of this replica's own journal, on a local disk. Ignored with SQLite.")
  @IsString()
  readonly spoolDir: string = './data';

  @Variable(
    'How long to wait, such as `30s`, for another process that serves with the same data folder, before giving up.',
  )
  @Rule((value) =>
    parseDuration(value as string) === undefined ? 'must be a duration such as 500ms, 30s or 5m' : undefined,
  )
  readonly lockWait: string = '0';

  @Variable('How this instance is called in records and messages. Default: the host name.')
  @IsOptional()
  @Matches(/^[A-Za-z0-9._:-]{1,128}$/, { message: '$property must be 1 to 128 letters, digits and . _ : -' })
  readonly instance?: string;

  @Variable(
    'Processes that share the port, each with a journal of its own: a number, or `auto` for one a processor core. More than one wants PostgreSQL. See docs/workers.md.',
  )
  @Rule((value, { databaseUrl }) => whyNotWorkers(String(value), databaseUrl))
  readonly workers: string = '1';

  @Variable(
    'No answer leaves before its record survives the end of the process (`sync`) or a power loss (`fsync`); `async` answers at once and says what it lost; `off` records nothing; `replicated`, with PostgreSQL: not before PostgreSQL has it. See docs/decision-log.md.',
  )
  @IsIn(decisionLogModes)
  @Rule((mode, { databaseUrl }) =>
    mode === 'replicated' && !isPostgresUrl(databaseUrl)
      ? 'is replicated, which wants PostgreSQL: set VERDICT_DATABASE_URL to postgres://…'
      : undefined,
  )
  readonly decisionLog: (typeof decisionLogModes)[number] = 'sync';

  @Variable(
    'Where decision records also go, behind the answers, separated by commas: `otlp` (where OTEL_EXPORTER_OTLP_ENDPOINT says), `kafka://host:9092/topic`. See docs/log-sinks.md.',
    { secret: true },
  )
  @IsOptional()
  @Rule((value, { decisionLog }) =>
    decisionLog === 'off' ? 'wants records, and VERDICT_DECISION_LOG is off' : whyNotLogSinks(value as string),
  )
  readonly logSinks?: string;

  @Variable(
    'How old a record may get, such as `7d`, that a sink of VERDICT_LOG_SINKS does not have yet and retention would delete.',
  )
  @Rule((value) => (parseDuration(value as string) === undefined ? 'must be a duration such as 12h or 7d' : undefined))
  readonly logSinksKeep: string = '7d';

  @Variable(
    'Records that may wait for their commit. Beyond that decisions are refused with 503; `async` loses records.',
  )
  @IsInt()
  @Min(1)
  @Max(1_000_000)
  readonly decisionLogQueue: number = 16_384;

  @Variable(
    "With PostgreSQL: most bytes of this replica's own journal while PostgreSQL is away. Beyond that decisions are refused with 503; `async` loses records.",
  )
  @IsInt()
  @Min(64 * 1024 * 1024)
  readonly decisionLogJournalBytes: number = 10 * 1024 * 1024 * 1024;

  @Variable('Days that decision records are kept. Default: for ever.')
  @IsOptional()
  @IsNumber()
  @Min(0.01)
  readonly decisionLogRetentionDays?: number;

  @Variable('Decision records that are kept; of more the oldest go. Default: all.')
  @IsOptional()
  @IsInt()
  @Min(1)
  readonly decisionLogRetentionRecords?: number;

  @Variable('Days that audit events are kept. Default: for ever.')
  @IsOptional()
  @IsNumber()
  @Min(1)
  readonly auditRetentionDays?: number;

  @Variable('Share of decisions, 0 to 1, that stock Casbin evaluates again after the answer; differences are logged.')
  @IsNumber()
  @Min(0)
  @Max(1)
  readonly crossCheck: number = 0;

  @Variable('Whether callers must authenticate. `none` is accepted on a loopback host only; `npm start` sets it.')
  @IsIn(['required', 'none'])
  @Rule((auth, { host }) => {
    if (auth === 'none' && !isLoopback(host)) {
      return `is "none", which is accepted only when VERDICT_HOST is a loopback address, not ${host}`;
    }
    return undefined;
  })
  readonly auth: 'required' | 'none' = 'required';

  @Variable(
    'Name of this deployment, in lower case: API keys are made as `vd_<env>_…`, and those of another are refused. Default: made for `prod`, and accepted from any.',
  )
  @IsOptional()
  @Matches(environmentName, { message: '$property must be 1 to 16 lower-case letters and digits' })
  readonly env?: string;

  @Variable('File of API keys and client certificates, by digest; read again when it changes. See docs/security.md.')
  @IsOptional()
  @IsString()
  readonly apiKeysFile?: string;

  @Variable(
    'With PostgreSQL: how long API keys that are managed there are good, such as `24h`, while it is away and nobody can say whether they were revoked; also across a start, by a copy in VERDICT_SPOOL_DIR.',
  )
  @Rule((value) => whyNotKeysAge(value as string))
  readonly keysMaxAge: string = '24h';

  @Variable('Issuers whose access tokens are accepted, separated by commas.')
  @IsOptional()
  @Rule((value, { jwtAudience }) =>
    jwtAudience === undefined
      ? 'needs VERDICT_JWT_AUDIENCE: a token for another service is none for this'
      : whyNotUrls(value),
  )
  readonly jwtIssuer?: string;

  @Variable('Audiences, one of which an access token must be for, separated by commas.')
  @IsOptional()
  @IsString()
  @Rule((_value, { jwtIssuer }) => (jwtIssuer === undefined ? 'needs VERDICT_JWT_ISSUER' : undefined))
  readonly jwtAudience?: string;

  @Variable("Audiences of the users' tokens that gateways pass on, separated by commas. Default: VERDICT_JWT_AUDIENCE.")
  @IsOptional()
  @IsString()
  @Rule((_value, { jwtIssuer }) => (jwtIssuer === undefined ? 'needs VERDICT_JWT_ISSUER' : undefined))
  readonly gatewayJwtAudience?: string;

  @Variable(
    'Drafts of standards that are served, separated by commas: mcp, obligations. They may change with any release.',
  )
  @IsOptional()
  @Rule((value) => {
    const wrong = listIn(value as string).find((name) => !(drafts as readonly string[]).includes(name));
    return wrong === undefined ? undefined : `names "${wrong}"; it may name ${drafts.join(', ')}`;
  })
  readonly drafts?: string;

  @Variable('Where the keys of the issuers are, in the order of VERDICT_JWT_ISSUER. Default: what their metadata says.')
  @IsOptional()
  @Rule((value, { jwtIssuer }) => {
    const issuers = listIn(jwtIssuer).length;
    return listIn(value as string).length === issuers ? whyNotUrls(value) : 'must name one URL for each issuer';
  })
  readonly jwtJwksUrl?: string;

  @Variable('Signature algorithms that are accepted, separated by commas.')
  @Rule((value) => {
    const wrong = listIn(value as string).find((name) => !(tokenAlgorithms as readonly string[]).includes(name));
    return wrong === undefined ? undefined : `names "${wrong}"; it may name ${tokenAlgorithms.join(', ')}`;
  })
  readonly jwtAlgorithms: string = 'RS256,PS256,ES256,ES384,EdDSA,Ed25519';

  @Variable('Claim of access tokens that holds scopes, beside `scope` and `scp`.')
  @IsOptional()
  @IsString()
  readonly jwtScopeClaim?: string;

  @Variable("How far an issuer's clock may be off, in seconds.")
  @IsInt()
  @Min(0)
  @Max(300)
  readonly jwtClockSkew: number = 30;

  @Variable('The furthest end (`exp`) of an access token that is accepted, in seconds from now.')
  @IsInt()
  @Min(60)
  @Max(31_536_000)
  readonly jwtMaxLifetime: number = 86_400;

  @Variable('How long the keys of an issuer stay good while it cannot be asked for them, in seconds.')
  @IsInt()
  @Min(60)
  @Max(604_800)
  readonly jwtKeysMaxAge: number = 3_600;

  @Variable(
    '`terminated-elsewhere`: a proxy in front speaks TLS, so that this may listen in the plain beyond loopback.',
  )
  @IsOptional()
  @IsIn(['terminated-elsewhere'])
  readonly tls?: 'terminated-elsewhere';

  @Variable('PEM file of the certificate and its chain; turns TLS on. Read again when it changes.')
  @IsOptional()
  @IsString()
  @Rule((_value, { tlsKey }) => (tlsKey === undefined ? 'needs VERDICT_TLS_KEY' : undefined))
  readonly tlsCert?: string;

  @Variable("PEM file of the certificate's private key.")
  @IsOptional()
  @IsString()
  @Rule((_value, { tlsCert }) => (tlsCert === undefined ? 'needs VERDICT_TLS_CERT' : undefined))
  readonly tlsKey?: string;

  @Variable('PEM file of the authorities whose client certificates are accepted; turns mutual TLS on.')
  @IsOptional()
  @IsString()
  @Rule((_value, { tlsCert }) => (tlsCert === undefined ? 'needs VERDICT_TLS_CERT' : undefined))
  readonly tlsClientCa?: string;

  @Variable('PEM file of certificate revocation lists for client certificates.')
  @IsOptional()
  @IsString()
  @Rule((_value, { tlsClientCa }) => (tlsClientCa === undefined ? 'needs VERDICT_TLS_CLIENT_CA' : undefined))
  readonly tlsCrl?: string;

  @Variable('Port beside TLS that sends browsers to it and refuses everything else.')
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(65535)
  @Rule((_value, { tlsCert }) => (tlsCert === undefined ? 'needs VERDICT_TLS_CERT' : undefined))
  readonly plainPort?: number;

  @Variable('Port that answers Envoy over gRPC; 0 picks a free one. Default: none. See docs/envoy.md.')
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(65535)
  @Rule((port, { port: http }) =>
    port !== 0 && port === http ? 'must be another port than that of VERDICT_PORT' : undefined,
  )
  readonly grpcPort?: number;

  @Variable(
    'Longest message on the gRPC port in bytes: the headers of a client and as much of its body as Envoy sends.',
  )
  @IsInt()
  @Min(16 * 1024)
  @Max(16 * 1024 * 1024)
  readonly grpcMaxMessageBytes: number = 256 * 1024;

  @Variable('Addresses and ranges of proxies whose X-Forwarded-For is believed, separated by commas.')
  @IsOptional()
  @Rule((value) => whyNotAddresses(value))
  readonly trustedProxies?: string;

  @Variable('Origins whose pages may call the API, separated by commas. Default: none.')
  @IsOptional()
  @Rule((value) => {
    const wrong = listIn(value as string).find((origin) => !isOrigin(origin));
    return wrong === undefined ? undefined : `names "${wrong}", which is no origin such as https://console.example`;
  })
  readonly corsOrigins?: string;

  @Variable(
    'Points of decisions that each caller may use, such as `1000/s,burst=2000`; a request costs one for each item, or for each 4 KiB of its body where that is more. `off`: any.',
  )
  @Rule((value) => whyNotRate(value, 'off'))
  readonly rateLimit: string = 'off';

  @Variable('Searches that each caller may make.')
  @Rule((value) => whyNotRate(value))
  readonly searchRateLimit: string = '1000/s,burst=2000';

  @Variable('Failed authentications from one address (IPv6: one /64).')
  @Rule((value) => whyNotRate(value))
  readonly authFailureLimit: string = '30/m,burst=60';

  @Variable('Connections that are open at once at most.')
  @IsInt()
  @Min(1)
  readonly maxConnections: number = 10_000;

  @Variable('Longest time in seconds that bytes of an answer may wait for their reader; then the connection is ended.')
  @IsNumber()
  @Min(0.1)
  readonly maxUnreadSeconds: number = 30;

  @Variable(
    'Bytes of answers that may wait for their readers. Beyond that batches, searches and exports are refused with 503, and connections that have waited longest are ended.',
  )
  @IsInt()
  @Min(65_536)
  readonly maxUnreadBytes: number = 64 * 1024 * 1024;

  @Variable('The same for the readers of one caller.')
  @IsInt()
  @Min(65_536)
  readonly maxUnreadBytesOfCaller: number = 16 * 1024 * 1024;

  @Variable('Least level of the JSON log lines on standard output. `debug` adds a line per request.')
  @IsIn(logLevels)
  readonly logLevel: (typeof logLevels)[number] = 'info';

  @Variable('Largest request body in bytes.')
  @IsInt()
  @Min(1024)
  readonly maxBodyBytes: number = 1024 * 1024;

  @Variable('Largest body of a batch request in bytes.')
  @IsInt()
  @Min(1024)
  readonly maxBatchBytes: number = 8 * 1024 * 1024;

  @Variable(
    'Bytes of bodies beyond 64 KiB that are held at once; one caller may hold half. Beyond that requests with such bodies are refused with 503.',
  )
  @IsInt()
  @Min(16 * 1024 * 1024)
  readonly maxBodiesBytes: number = 128 * 1024 * 1024;

  @Variable('Most requests in one batch.')
  @IsInt()
  @Min(1)
  readonly maxBatchItems: number = 10_000;

  @Variable(
    'Longest time that a batch may take, in seconds; items that are not decided by then are answered by a problem.',
  )
  @IsInt()
  @Min(1)
  readonly maxBatchSeconds: number = 10;

  @Variable('Longest id, type, action name or policy set name in characters.')
  @IsInt()
  @Min(1)
  readonly maxIdLength: number = 1024;

  @Variable('Deepest nesting of attributes; the `attributes` object itself is 1.')
  @IsInt()
  @Min(1)
  @Max(256)
  readonly maxAttributeDepth: number = 16;

  @Variable('Most members of objects in all attributes of one request, nested ones included.')
  @IsInt()
  @Min(1)
  @Max(100_000)
  readonly maxAttributeMembers: number = 1_000;

  @Variable('Most elements of lists in all attributes of one request.')
  @IsInt()
  @Min(1)
  @Max(100_000)
  readonly maxAttributeElements: number = 10_000;
}

/** All variables, in the order of the class. */
export const configVariables: readonly Variable[] = Object.freeze(variables);

/** `VERDICT_TLS_CERT` for `tlsCert` */
export function variableName(property: keyof Config): string {
  return variableOf(property).name;
}

export function variableOf(property: keyof Config): Variable {
  return variables.find((variable) => variable.property === property)!;
}

export function speaksDraft(config: Pick<Config, 'drafts'>, name: (typeof drafts)[number]): boolean {
  return listIn(config.drafts).includes(name);
}

/** The members of a list as an environment variable writes it. */
export function listIn(text: string | undefined): readonly string[] {
  return (text ?? '').split(/[\s,]+/).filter((member) => member !== '');
}

function whyNotUrls(value: unknown): string | undefined {
  const wrong = listIn(value as string).find((url) => !isTrustworthyUrl(url));
  return wrong === undefined ? undefined : `names "${wrong}", which is no https URL (http is for loopback alone)`;
}

function whyNotAddresses(value: unknown): string | undefined {
  try {
    addressList(listIn(value as string));
    return undefined;
  } catch (error) {
    return `must be addresses and ranges: ${(error as Error).message}`;
  }
}

function whyNotRate(value: unknown, ...others: string[]): string | undefined {
  if (others.includes(value as string) || parseRate(value as string) !== undefined) return undefined;
  return 'must be a rate such as 1000/s or 1000/s,burst=2000 (per s, m, h or d)';
}

function whyNotKeysAge(value: string): string | undefined {
  const ageMs = parseDuration(value);
  // While all is well, their age is up to a second.
  return ageMs !== undefined && ageMs >= 10_000 ? undefined : 'must be a duration such as 24h or 30m, of 10s at least';
}

function whyNotStaleness(value: string): string | undefined {
  const ageMs = parseDuration(value);
  // While all is well, the age is up to the pause between two looks at the source.
  return ageMs !== undefined && ageMs >= 2_000 ? undefined : 'must be a duration such as 30s or 5m, of 2s at least';
}

/** Beside the pause between two looks at an index, what a look may take in milliseconds. */
const lookMs = 1_000;

function whyNotPoll(value: string, { policySource, maxStaleness }: Config): string | undefined {
  const ms = parseDuration(value);
  if (ms === undefined || ms < 1_000 || ms > 3_600_000) return 'must be a duration from 1s to 1h, such as 10s';
  const allowedMs = policySource === 'bundle' ? parseDuration(maxStaleness ?? '') : undefined;
  if (allowedMs === undefined || allowedMs >= ms + lookMs) return undefined;
  return `is ${value}, and VERDICT_MAX_STALENESS would refuse answers between two looks: make that ${ms + lookMs}ms at least`;
}

function whyNotDatabase(value: string): string | undefined {
  if (/^sqlite:./.test(value)) return undefined;
  if (!isPostgresUrl(value))
    return 'must be sqlite:<path of the file> or postgres://<user>:<password>@<host>:<port>/<database>';
  try {
    parsePostgresUrl(value);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function whyNotWorkers(value: string, databaseUrl: string): string | undefined {
  const count = Number(value);
  const isCount = /^\d{1,3}$/.test(value) && count >= 1 && count <= mostWorkers;
  if (value !== 'auto' && !isCount) return `must be auto, or a number from 1 to ${mostWorkers}`;
  if (value === '1' || isPostgresUrl(databaseUrl)) return undefined;
  return 'wants PostgreSQL beyond 1, since each process records in files of its own, which only PostgreSQL joins to one log: set VERDICT_DATABASE_URL to postgres://…';
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

function isBaseUrl(value: unknown): boolean {
  if (typeof value !== 'string' || !URL.canParse(value) || /[?#]|\/$/.test(value)) return false;
  return /^https?:$/.test(new URL(value).protocol);
}
