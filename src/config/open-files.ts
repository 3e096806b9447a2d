/** How many files this process may have open, and how many it needs. */
import { readFileSync } from 'node:fs';
import { type Config, variableName } from './config.js';

/** Databases with their logs, policy folders while they are read, the event loop's own, worker threads, certificates. */
const besideConnections = 256;

/** A warning when `ulimit -n` is too small for the connections that may come; undefined where it is not, or not known. */
export function whyTooFewOpenFiles(
  { maxConnections }: Pick<Config, 'maxConnections'>,
  allowed = openFilesAllowed(),
): string | undefined {
  const needed = maxConnections + besideConnections;
  if (allowed === undefined || allowed >= needed) return undefined;
  const fitting = Math.max(0, allowed - besideConnections);
  return (
    `this process may have ${allowed} files open (ulimit -n), and ${variableName('maxConnections')}=${maxConnections} needs ` +
    `${needed}: raise the limit, or set ${variableName('maxConnections')} to ${fitting} at most`
  );
}

/** Node.js raises its soft limit to the hard one when it starts, so this is what counts. */
function openFilesAllowed(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined || soft === 'unlimited' ? undefined : Number(soft);
  } catch {
    // Linux alone says it in a file.
    return undefined;
  }
}
