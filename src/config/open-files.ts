/** Compares the open files that this process may have with those that it needs. */
import { readFileSync } from 'node:fs';
import { type Config, variableName } from './config.js';

/**
 * Open files beside connections: databases with their logs, policy folders while they are read, the event loop, worker
 * threads, certificates.
 */
const besideConnections = 256;

/** A warning if `ulimit -n` is too small for the allowed connections; undefined if it is large enough or unknown. */
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

/** The hard limit: Node.js raises its soft limit to it at start. */
function openFilesAllowed(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined || soft === 'unlimited' ? undefined : Number(soft);
  } catch {
    // Only Linux has this file.
    return undefined;
  }
}
