/** Where the service's files lie. */
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { Config } from './config.js';

/** The path of the service's database: the one place that takes a `sqlite:` URL apart. */
export function databasePathOf({ databaseUrl }: Pick<Config, 'databaseUrl'>): string {
  return databaseUrl.slice('sqlite:'.length);
}

export function dataFolderOf(config: Config): string {
  return dirname(resolve(databasePathOf(config)));
}

/** The name of this instance in records and messages. */
export function instanceOf({ instance }: Config): string {
  return instance ?? hostname();
}
