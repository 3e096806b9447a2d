/** The files that the configuration names, looked at before anything starts: all that is wrong with them is told at once. */
import { readFileSync } from 'node:fs';
import { readApiKeyFile } from './auth/api-key-file.js';
import { type Config, nameOf } from './config.js';
import { formatProblem, PolicyError } from './core/problem.js';
import { faultsOfDataFolder } from './data-folder.js';
import { tlsFilesOf } from './doors.js';
import { tlsOptions } from './http/tls-files.js';
import { ConfigError } from './read-config.js';

const FILES = ['apiKeysFile', 'tlsCert', 'tlsKey', 'tlsClientCa', 'tlsCrl'] as const;

/** @throws ConfigError with every problem found */
export function checkConfigFiles(config: Config): void {
  const unreadable = FILES.flatMap((property) => whyUnreadable(property, config[property]));
  const unusable = unreadable.length > 0 ? unreadable : [...faultsOfApiKeys(config), ...faultsOfTls(config)];
  const problems = [...unusable, ...faultsOfDataFolder(config)];
  if (problems.length > 0) throw new ConfigError(problems);
}

function whyUnreadable(property: keyof Config, file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    readFileSync(file);
    return [];
  } catch (error) {
    return [`${nameOf(property)} cannot be read: ${(error as Error).message}`];
  }
}

function faultsOfApiKeys({ apiKeysFile: file }: Config): string[] {
  if (file === undefined) return [];
  try {
    readApiKeyFile(file, readFileSync(file, 'utf8'));
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map((problem) => `${nameOf('apiKeysFile')}: ${formatProblem(problem)}`);
  }
}

/** OpenSSL judges the files together and does not say which of them it means. */
function faultsOfTls(config: Config): string[] {
  const files = tlsFilesOf(config);
  try {
    if (files !== undefined) tlsOptions(files);
    return [];
  } catch (error) {
    const names = FILES.filter((property) => property !== 'apiKeysFile' && config[property] !== undefined).map(nameOf);
    return [`${names.join(', ')} cannot be used: ${(error as Error).message}`];
  }
}
