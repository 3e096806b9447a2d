import { isProblem } from './answers.js';
import type { Deadline } from './deadline.js';
import { type Attempt, isPassing, messageOf, VerdictProblem, VerdictUnavailable } from './errors.js';
import { type Host, inOrder } from './hosts.js';

/** Of answers with as many results as somebody asked for. */
const mostMiB = 64;

/** The first pause before the same address is asked again; it doubles with each. */
const firstPauseMs = 50;

export interface Call<T> {
  /** Behind the base URL, with a slash in front. */
  readonly path: string;
  /** JSON. */
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Most MiB of an answer: 64 by default. */
  readonly maxMiB?: number;
  /** Returns the answer if it is one; undefined if the body is none. Never trusts what it is given. */
  readonly read: (body: unknown) => T | undefined;
  /** Whether the address should rest although it answered. */
  readonly isLacking?: (answer: T) => boolean;
}

/**
 * Asks until there is an answer, a refusal or no time left. Every call that it makes may be made twice: questions change
 * nothing, and changes have a key by which the service knows them again.
 */
export class Transport {
  constructor(
    private readonly hosts: readonly Host[],
    private readonly fetch: typeof globalThis.fetch,
    private readonly headers: () => Promise<Readonly<Record<string, string>>>,
    private readonly retries: number,
  ) {}

  /**
   * @throws VerdictProblem where the service refuses it
   * @throws VerdictUnavailable where there is no answer
   */
  async call<T>(call: Call<T>, deadline: Deadline): Promise<T> {
    const hosts = inOrder(this.hosts);
    const most = Math.max(hosts.length, 1 + this.retries);
    const attempts: Attempt[] = [];
    for (;;) {
      const tried = attempts.length;
      const host = hosts[tried % hosts.length] as Host;
      try {
        // One that is slow leaves time for those that were not asked yet.
        const part = deadline.shareMs(hosts.length - tried);
        const answer = await deadline.within(part, (signal) => this.attempt(host, call, signal));
        if (call.isLacking?.(answer) === true) host.failed();
        else host.answered();
        return answer;
      } catch (error) {
        if (!(error instanceof VerdictUnavailable)) throw error;
        const { kind, message, retryAfterMs } = error;
        if (kind !== 'aborted' && kind !== 'no_key') host.failed();
        attempts.push({ baseUrl: host.baseUrl, kind, message });
        const unavailable = withAttempts(error, attempts);
        if (kind === 'aborted' || attempts.length >= most) throw unavailable;
        const isAnotherNext = attempts.length < hosts.length;
        const pauseMs = isAnotherNext ? 0 : (retryAfterMs ?? firstPauseMs * 2 ** (attempts.length - hosts.length));
        if (pauseMs >= deadline.leftMs) throw unavailable;
        if (pauseMs > 0) {
          await deadline.pause(pauseMs).catch((ended: VerdictUnavailable) => {
            throw withAttempts(ended, attempts);
          });
        }
      }
    }
  }

  private async attempt<T>(
    host: Host,
    { path, body, headers, maxMiB = mostMiB, read }: Call<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { fetch } = this;
    const mine = { ...(await this.headers()), ...present(headers) };
    const all = { ...mine, accept: 'application/json', 'content-type': 'application/json' };
    let response: Response;
    let text: string | undefined;
    try {
      // A redirect is not followed: it would hand the question, and the key, to somebody else.
      response = await fetch(`${host.baseUrl}${path}`, {
        method: 'POST',
        headers: all,
        body,
        signal,
        redirect: 'manual',
      });
      // To its end, so that the connection can be used again; one that is cut off throws.
      text = await textOf(response, Math.min(maxMiB, mostMiB) * 2 ** 20);
    } catch (cause) {
      throw new VerdictUnavailable('network', `${host.baseUrl} did not answer: ${wordsOf(cause)}`, { cause });
    }
    if (text === undefined) {
      throw new VerdictUnavailable('malformed', `${host.baseUrl} sent more than an answer can have (${maxMiB} MiB)`);
    }
    const answer = parsed(text);
    const mediaType = (response.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase();
    if (response.status === 200 && mediaType === 'application/json' && !response.redirected) {
      const result = read(answer);
      if (result !== undefined) return result;
    }
    if (
      mediaType === 'application/problem+json' &&
      isProblem(answer) &&
      answer.status === response.status &&
      answer.status >= 400
    ) {
      if (!isPassing(answer)) throw new VerdictProblem(answer);
      const seconds = Number(response.headers.get('retry-after') || Number.NaN);
      const retryAfterMs = seconds >= 0 ? seconds * 1_000 : undefined;
      throw new VerdictUnavailable('refused', messageOf(answer), { problem: answer, retryAfterMs });
    }
    const what = `status ${response.status}, ${mediaType || 'no content type'}`;
    throw new VerdictUnavailable('malformed', `${host.baseUrl} sent something else than an answer (${what})`, {
      status: response.status,
    });
  }
}

function withAttempts(error: VerdictUnavailable, attempts: readonly Attempt[]): VerdictUnavailable {
  const { kind, message, cause, problem, retryAfterMs, status } = error;
  const told = { cause, retryAfterMs, status, ...(problem !== undefined && { problem }) };
  return new VerdictUnavailable(kind, message, told, attempts);
}

/** Undefined if it is longer than `maxBytes`: what comes then is not waited for. */
async function textOf({ body }: Response, maxBytes: number): Promise<string | undefined> {
  if (body === null) return '';
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let left = maxBytes; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    left -= value.byteLength;
    if (left < 0) {
      // Whether the other side heeds it is not waited for either.
      reader.cancel().catch(() => {});
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function present(headers: Readonly<Record<string, string | undefined>> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Node hides what went wrong in the cause of `fetch failed`. */
function wordsOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}
