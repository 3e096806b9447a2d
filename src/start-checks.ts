/** The files and the folder that the configuration names, looked at before anything starts: all that is wrong with them is told at once. */
import { accessSync, constants, mkdirSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { readApiKeyFile } from './auth/api-key-file.js';
import { isUrl, readS3Settings } from './config/bundle-places.js';
import { type Config, listIn, variableName } from './config/config.js';
import { databasePathOf, dataFolderOf, instanceOf } from './config/data-folder.js';
import { logSinksIn } from './config/log-sinks.js';
import { isPostgresUrl, parsePostgresUrl } from './config/postgres-url.js';
import { ConfigError } from './config/read-config.js';
import { formatProblem, PolicyError } from './core/problem.js';
import { decisionLogPath } from './decision-log/sqlite/log-files.js';
import { tlsFilesOf, tlsOptions } from './http/tls-files.js';
import { otlpSettings } from './log-sinks/otlp/otlp-settings.js';

const fileOptions = ['apiKeysFile', 'tlsCert', 'tlsKey', 'tlsClientCa', 'tlsCrl'] as const;

/** @throws ConfigError with every problem found */
export function checkConfigFiles(config: Config): void {
  const unreadable = fileOptions.flatMap((property) => whyUnreadable(variableName(property), config[property]));
  const unusable = unreadable.length > 0 ? unreadable : [...faultsOfApiKeys(config), ...faultsOfTls(config)];
  const problems = [
    ...unusable,
    ...faultsOfBundles(config),
    ...faultsOfCheckpointSink(config),
    ...faultsOfLogSinks(config),
    ...faultsOfDatabaseUrl(config),
    ...faultsOfDataFolder(config),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
}

function whyUnreadable(what: string, file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    readFileSync(file);
    return [];
  } catch (error) {
    return [`${what} cannot be read: ${(error as Error).message}`];
  }
}

function faultsOfApiKeys({ apiKeysFile: file }: Config): string[] {
  if (file === undefined) return [];
  try {
    readApiKeyFile(file, readFileSync(file, 'utf8'));
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map((problem) => `${variableName('apiKeysFile')}: ${formatProblem(problem)}`);
  }
}

/** What S3 needs of the environment. */
function faultsOfCheckpointSink({ checkpointSink }: Config): string[] {
  try {
    if (checkpointSink?.startsWith('s3:')) readS3Settings(process.env);
    return [];
  } catch (error) {
    return [`${variableName('checkpointSink')}: ${(error as Error).message}`];
  }
}

/** What the sink `otlp` needs of OpenTelemetry's variables. */
function faultsOfLogSinks(config: Config): string[] {
  try {
    if (logSinksIn(config.logSinks).some(({ kind }) => kind === 'otlp')) otlpSettings(process.env, instanceOf(config));
    return [];
  } catch (error) {
    return [`${variableName('logSinks')}: ${(error as Error).message}`];
  }
}

/** What is wrong with the files that hold keys, and with what S3 needs of the environment. */
function faultsOfBundles({ policySource, bundleUrl, bundleKeys }: Config): string[] {
  if (policySource !== 'bundle' || bundleUrl === undefined) return [];
  const files = listIn(bundleKeys).filter((place) => !isUrl(place));
  const unreadable = files.flatMap((file) => whyUnreadable(`${variableName('bundleKeys')} names a file that`, file));
  try {
    if (bundleUrl.startsWith('s3:')) readS3Settings(process.env);
    return unreadable;
  } catch (error) {
    return [...unreadable, `${variableName('bundleUrl')}: ${(error as Error).message}`];
  }
}

/** OpenSSL judges the files together and does not say which of them it means. */
function faultsOfTls(config: Config): string[] {
  const files = tlsFilesOf(config);
  try {
    if (files !== undefined) tlsOptions(files);
    return [];
  } catch (error) {
    const names = fileOptions
      .filter((property) => property !== 'apiKeysFile' && config[property] !== undefined)
      .map(variableName);
    return [`${names.join(', ')} cannot be used: ${(error as Error).message}`];
  }
}

/** Why the service cannot write where it must; the folder is made if it is not there. */
export function faultsOfDataFolder(config: Config): string[] {
  const folder = dataFolderOf(config);
  const variable = variableName(isPostgresUrl(config.databaseUrl) ? 'spoolDir' : 'databaseUrl');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    return [`${variable} names the folder ${folder}, which ${whyNot(error)}`];
  }
  const database = resolve(databasePathOf(config));
  const journal = resolve(decisionLogPath(database));
  if (isPostgresUrl(config.databaseUrl)) return whyUnusable(journal, `${variable} names the folder ${folder}`);
  return [database, journal].flatMap((path) => whyUnusable(path, `${variable} names the database ${database}`));
}

function whyUnusable(path: string, what: string): string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return [];
  if (!found.isFile()) return [`${what}, but ${path} is not a file`];
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return [];
  } catch (error) {
    return [`${what}, but ${path} ${whyNot(error)}`];
  }
}

/** The files that a `postgres://` URL names, which are read with each connection. */
function faultsOfDatabaseUrl({ databaseUrl }: Config): string[] {
  if (!isPostgresUrl(databaseUrl)) return [];
  const { tlsRootCert, tlsCert, tlsKey } = parsePostgresUrl(databaseUrl);
  return Object.entries({ sslrootcert: tlsRootCert, sslcert: tlsCert, sslkey: tlsKey }).flatMap(([parameter, file]) =>
    whyUnreadable(`${variableName('databaseUrl')} names a file by ${parameter} that`, file),
  );
}

function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EEXIST':
    case 'ENOTDIR':
      return 'is not a folder';
    case 'EROFS':
      return 'is on a read-only file system';
    case 'EACCES':
    case 'EPERM':
      return `cannot be read and written by this user (${code})`;
    case 'ENOSPC':
      return 'is on a full disk';
    default:
      return `cannot be used: ${message}`;
  }
}
