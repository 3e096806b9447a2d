/** The folder that the service writes to, looked at before anything is opened there. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { type Config, nameOf } from './config.js';
import { decisionLogPath } from './decision-log/log-files.js';

/** The path of the service's database. */
export function databasePathOf({ databaseUrl }: Config): string {
  return databaseUrl.slice('sqlite:'.length);
}

export function dataFolderOf(config: Config): string {
  return dirname(resolve(databasePathOf(config)));
}

/** The name of this instance in records and messages. */
export function instanceOf({ instance }: Config): string {
  return instance ?? hostname();
}

/** Why the service cannot write where it must; the folder is made if it is not there. */
export function faultsOfDataFolder(config: Config): string[] {
  const folder = dataFolderOf(config);
  const variable = nameOf('databaseUrl');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    return [`${variable} names the folder ${folder}, which ${whyNot(error)}`];
  }
  const database = resolve(databasePathOf(config));
  return [database, resolve(decisionLogPath(config.databaseUrl))].flatMap((path) => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return [];
    if (!found.isFile()) return [`${variable} names the database ${database}, but ${path} is not a file`];
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
      return [];
    } catch (error) {
      return [`${variable} names the database ${database}, but ${path} ${whyNot(error)}`];
    }
  });
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
