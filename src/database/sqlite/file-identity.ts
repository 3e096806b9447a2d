import { statSync } from 'node:fs';

/** Which file lies at a path: '' when there is none. The file is not opened, which would give up the locks on it. */
export function fileIdentity(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false, bigint: true });
  return found === undefined ? '' : `${found.dev}:${found.ino}`;
}
