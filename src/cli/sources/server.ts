/** Commands against a running service: `--url`, and the key in the environment, never in the arguments. */
import type { Command } from 'commander';
import { spellUnseen } from '../../core/quote.js';
import type { FieldError } from '../../errors.js';
import { UsageError } from '../exit-code.js';

export interface ServerOptions {
  readonly url?: string;
}

export function addServerOptions(command: Command): Command {
  return command.option('--url <url>', 'ask a running service; the API key comes from VERDICT_API_KEY');
}

const timeoutMs = 30_000;

/**
 * One call; the answer's body, undefined where it has none. A body of bytes has its content type among the headers.
 *
 * @throws UsageError when the service cannot be reached, or refuses.
 */
export async function askServer(
  options: ServerOptions,
  method: string,
  path: string,
  body?: object | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const response = await callServer(options, method, path, AbortSignal.timeout(timeoutMs), body, headers);
  if (response.status === 204) return undefined;
  const answer = (await response.json().catch(() => undefined)) as unknown;
  if (response.ok && answer !== undefined) return answer;
  throw refusal(response, answer);
}

/** As `askServer`, for an answer that is not JSON. */
export async function readFromServer(options: ServerOptions, path: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of streamFromServer(options, path)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/**
 * An answer of any length, piece by piece; only its beginning has a deadline.
 *
 * @param end ends it
 * @throws UsageError as `askServer`, and when the answer breaks off.
 */
export async function* streamFromServer(
  options: ServerOptions,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  end?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(new Error('no answer in time')), timeoutMs);
  const signal = end === undefined ? deadline.signal : AbortSignal.any([deadline.signal, end]);
  const response = await callServer(options, 'GET', path, signal, undefined, headers).finally(() =>
    clearTimeout(timer),
  );
  if (!response.ok) throw refusal(response, await response.json().catch(() => undefined));
  try {
    for await (const piece of response.body ?? []) yield piece;
  } catch (error) {
    throw new UsageError(`the answer broke off: ${reasonOf(error)}`);
  }
}

async function callServer(
  { url }: ServerOptions,
  method: string,
  path: string,
  signal: AbortSignal,
  body?: object | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  if (url === undefined) throw new UsageError('say which service: --url http://127.0.0.1:3000');
  const key = process.env.VERDICT_API_KEY ?? '';
  try {
    return await fetch(`${url.replace(/\/+$/, '')}${path}`, {
      method,
      headers: {
        accept: 'application/json',
        // A POST must state its content type, even without a body.
        ...((body !== undefined || method === 'POST') && { 'content-type': 'application/json' }),
        ...headers,
        ...(key !== '' && { authorization: `Bearer ${key}` }),
      },
      ...(body !== undefined && { body: Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
      signal,
      // Refused as every answer that is not one. With `error`, Node forgets the signal once the head of the answer is there.
      redirect: 'manual',
    });
  } catch (error) {
    throw new UsageError(`${url} cannot be reached: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}

/** What a service refused, and why. */
export class ServerRefusal extends UsageError {
  constructor(
    readonly status: number,
    title: string,
    hint: string | undefined,
    /** The faults that the service listed. */
    readonly errors: readonly FieldError[],
    /** Seconds after which another try may pass; undefined where the service does not say. */
    readonly retryAfter: number | undefined,
    /** The code of the problem; undefined where something else answered. */
    readonly code: string | undefined,
  ) {
    super(`${status} ${title}`, hint);
  }

  /** Each fault in a sentence. */
  get faults(): readonly string[] {
    return this.errors.map(({ detail }) => detail);
  }
}

function refusal({ status, statusText, headers }: Response, answer: unknown): ServerRefusal {
  const problem = (answer ?? {}) as {
    type?: string;
    title?: string;
    detail?: string;
    errors?: readonly Partial<FieldError>[];
  };
  const title = spellUnseen(String(problem.title ?? statusText));
  const redirect =
    headers.get('location') === null ? undefined : 'it redirects elsewhere: give the address where it is';
  const hint = problem.detail === undefined ? redirect : spellUnseen(`${problem.detail}`);
  const listed = Array.isArray(problem.errors) ? problem.errors : [];
  const errors = listed.map(({ pointer, detail }) => ({
    pointer: String(pointer),
    detail: spellUnseen(String(detail)),
  }));
  const code = /^urn:verdict:problem:(\w+)$/.exec(String(problem.type))?.[1];
  const retryAfter = /^\d{1,4}$/.exec(headers.get('retry-after') ?? '');
  return new ServerRefusal(status, title, hint, errors, retryAfter === null ? undefined : Number(retryAfter[0]), code);
}

/** A path with a query string; lists are joined by commas, as `by` wants it. */
export function withQuery(path: string, query: object): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
  return `${path}?${parameters}`;
}
