/** Commands against a running service: `--url`, and the key in the environment, never in the arguments. */
import type { Command } from 'commander';
import { UsageError } from './exit-code.js';

export interface ServerOptions {
  readonly url?: string;
}

export function addServerOptions(command: Command): Command {
  return command.option('--url <url>', 'ask a running service; the API key comes from VERDICT_API_KEY');
}

const TIMEOUT_MS = 30_000;

/**
 * One call; the answer's body.
 *
 * @throws UsageError when the service cannot be reached, or refuses.
 */
export async function askServer({ url }: ServerOptions, method: string, path: string, body?: object): Promise<unknown> {
  if (url === undefined) throw new UsageError('say which service: --url http://127.0.0.1:3000');
  const key = process.env.VERDICT_API_KEY ?? '';
  let response: Response;
  try {
    response = await fetch(`${url.replace(/\/+$/, '')}${path}`, {
      method,
      headers: {
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== '' && { authorization: `Bearer ${key}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    });
  } catch (error) {
    const { cause, message } = error as Error;
    throw new UsageError(`${url} cannot be reached: ${cause instanceof Error ? cause.message : message}`);
  }
  const answer = (await response.json().catch(() => undefined)) as unknown;
  if (response.ok && answer !== undefined) return answer;
  const problem = (answer ?? {}) as { title?: string; detail?: string };
  throw new UsageError(`${response.status} ${problem.title ?? response.statusText}`, problem.detail);
}
