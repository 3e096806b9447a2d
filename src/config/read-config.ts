/** Reads the configuration from the environment, checks it as a whole, and shows it. */
import { validateSync } from 'class-validator';
import { closest } from '../core/closest.js';
import { Config, configVariables, variableOf, variablePrefix } from './config.js';
import { isPostgresUrl } from './postgres-url.js';
import { readSecretFile } from './secret-variable.js';

/** Why the service cannot start with this environment; each problem starts with the variable's name. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly string[]) {
    super(`the configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

export interface ReadConfig {
  readonly config: Readonly<Config>;
  /** What was ignored, and why. */
  readonly warnings: readonly string[];
  /** Names of the variables that the environment set. */
  readonly given: ReadonlySet<string>;
}

/**
 * Reads and checks the whole configuration. An empty variable counts as not set.
 *
 *     readConfig({ VERDICT_PORT: '8080', VERDICT_AUTH: 'none' }, { policyDir: './policies' }).config.port // 8080
 *
 * @param defaults values of variables that are not set; they precede the defaults of the class
 * @throws ConfigError with every problem found
 */
export function readConfig(env: NodeJS.ProcessEnv, defaults: Partial<Config> = {}): ReadConfig {
  const set = Object.entries(env).filter(([name, value]) => name.startsWith(variablePrefix) && value !== '') as [
    string,
    string,
  ][];
  const values: Record<string, unknown> = { ...defaults };
  const given = new Set<string>();
  const problems: string[] = [];
  const warnings: string[] = [];

  for (const [name, value] of set) {
    const variable = configVariables.find(
      (known) => known.name === name || (known.secret && `${known.name}_FILE` === name),
    );
    if (name.startsWith('VERDICT_TEST_')) continue;
    if (isFromKubernetes(name, value)) {
      warnings.push(`${name} is ignored: it looks like what Kubernetes injects beside a Service`);
    } else if (variable === undefined) {
      problems.push(`${name} is not a variable of Verdict${suggestion(name)}`);
    } else if (given.has(variable.name)) {
      problems.push(`${variable.name} is set twice: as ${variable.name} and as ${variable.name}_FILE`);
    } else {
      given.add(variable.name);
      try {
        values[variable.property] = parse(variable.property, name === variable.name ? value : readSecretFile(value));
      } catch (error) {
        problems.push(`${name} cannot be read: ${(error as Error).message}`);
      }
    }
  }

  const config = Object.assign(new Config(), values);
  for (const { property, constraints } of validateSync(config)) {
    const { name, secret } = variableOf(property as keyof Config);
    // Decorators run from the last to the first, so this is the first one's: "must be an integer", not "too large".
    const message = Object.values(constraints!).at(-1)!.replace(property, name);
    // A URL may hold a password, also where none is wanted.
    const isHidden = secret || /:\/\/\S*@/.test(String(values[property]));
    problems.push(isHidden || !given.has(name) ? message : `${message} (it is "${values[property]}")`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (given.has(variableOf('spoolDir').name) && !isPostgresUrl(config.databaseUrl)) warnings.push(noSpool);
  warnings.push(...bundleWarnings(config, given));
  if (config.tls === 'terminated-elsewhere' && config.trustedProxies === undefined) warnings.push(noTrustedProxies);
  return Object.freeze({ config: Object.freeze(config), warnings, given });
}

const noSpool =
  'VERDICT_SPOOL_DIR is ignored: with an SQLite database the journal lies beside it, in the folder that VERDICT_DATABASE_URL names';

function bundleWarnings({ policySource, bundleKeys }: Config, given: ReadonlySet<string>): string[] {
  if (policySource === 'bundle') return bundleKeys === undefined ? [noBundleKeys] : [];
  return (['bundleUrl', 'bundleKeys', 'bundlePoll'] as const)
    .filter((property) => property !== 'bundleKeys' || policySource !== 'database')
    .map((property) => variableOf(property).name)
    .filter((name) => given.has(name))
    .map((name) => `${name} is ignored: VERDICT_POLICY_SOURCE is ${policySource}`);
}

const noBundleKeys =
  'VERDICT_BUNDLE_KEYS is not set: whatever is at VERDICT_BUNDLE_URL is served, by whomever it was written';

/** Behind a proxy every client has the proxy's address, until the proxy is believed. */
const noTrustedProxies =
  'VERDICT_TLS is terminated-elsewhere and VERDICT_TRUSTED_PROXIES is not set: all clients behind the proxy have its address, and share its limit of failed authentications';

/** The effective configuration as it may be shown: secrets are masked, what is not set is left out. */
export function describeConfig({ config, given }: ReadConfig): string {
  return configVariables
    .filter(({ property }) => config[property] !== undefined)
    .map(({ property, name, secret }) => {
      const value = String(config[property]);
      return `${name}=${secret ? maskSecret(value) : value}${given.has(name) ? '' : '  # default'}`;
    })
    .join('\n');
}

/** A URL keeps all but its password, so that an operator still sees where it points; anything else is hidden whole. */
function maskSecret(value: string): string {
  if (!URL.canParse(value)) return '********';
  const url = new URL(value);
  if (url.password === '') return value;
  url.password = '********';
  return url.href;
}

/** Text that is not a number stays text; the class then says what it should be. */
function parse(property: keyof Config, text: string): unknown {
  const isNumber = Reflect.getMetadata('design:type', Config.prototype, property) === Number;
  return isNumber && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables, for a Service named "verdict", or "verdict-grpc". */
function isFromKubernetes(name: string, value: string): boolean {
  return (
    /^VERDICT_(GRPC_)?SERVICE_/.test(name) ||
    /^VERDICT_(GRPC_)?PORT_\d+_/.test(name) ||
    (/^VERDICT_(GRPC_)?PORT$/.test(name) && /^\w+:\/\//.test(value))
  );
}

function suggestion(name: string): string {
  const names = configVariables.flatMap((variable) =>
    variable.secret ? [variable.name, `${variable.name}_FILE`] : [variable.name],
  );
  // The prefix is common to all and would make any two look alike.
  const nearest = closest(
    name.slice(variablePrefix.length),
    names.map((known) => known.slice(variablePrefix.length)),
  );
  return nearest === undefined ? '' : `; did you mean ${variablePrefix}${nearest}?`;
}
