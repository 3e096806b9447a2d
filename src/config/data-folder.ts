/** Where the service's files lie. */
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Config } from './config.js';
import { isPostgresUrl } from './postgres-url.js';

/**
 * The path that the service's files are named after: that of its SQLite database, beside which the decision log lies. With
 * PostgreSQL there is no file at the path itself, and the journal lies beside it in the spool folder.
 */
export function databasePathOf({ databaseUrl, spoolDir }: Pick<Config, 'databaseUrl' | 'spoolDir'>): string {
  return isPostgresUrl(databaseUrl) ? join(spoolDir, 'verdict.sqlite') : databaseUrl.slice('sqlite:'.length);
}

export function dataFolderOf(config: Config): string {
  return dirname(resolve(databasePathOf(config)));
}

/** The name of this instance in records and messages. */
export function instanceOf({ instance }: Config): string {
  return instance ?? hostname();
}
