/** One exchange with a server of bundles, which may be broken, slow or hostile. */
import { BundleError, type BundleErrorCode } from './bundle-error.js';
import type { FetchedFile, GetOptions } from './bundle-transport.js';

/** Most redirects that are followed, all on one host. */
const maxRedirects = 3;
/** Longest time that a server may ask to be left alone, in milliseconds. */
const maxRetryAfterMs = 300_000;

/** A server's answer to a request for a file. `send` makes the request for an address, signed where that is needed. */
export async function download(
  address: URL,
  { maxBytes, timeoutMs, etag, signal }: GetOptions,
  send: (address: URL, init: RequestInit) => Promise<Response>,
): Promise<FetchedFile | 'unchanged'> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const name = nameOf(address);
  try {
    const response = await follow(address, (at) =>
      send(at, {
        redirect: 'manual',
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
        headers: {
          // A body that is inflated on the way can become any size, and the digests are of the file itself.
          'accept-encoding': 'identity',
          'cache-control': 'no-cache',
          ...(etag !== undefined && { 'if-none-match': etag }),
        },
      }),
    );
    if (response.status === 304 && etag !== undefined) return 'unchanged';
    if (response.status !== 200) throw refusalOf(response, name);
    return { bytes: await bodyOf(response, name, maxBytes), etag: response.headers.get('etag') ?? undefined };
  } catch (error) {
    throw asBundleError(error, name, deadline.aborted ? `no whole answer within ${timeoutMs} ms` : undefined);
  }
}

/** Time that a file may take to be written, in milliseconds. */
const uploadTimeoutMs = 120_000;

/** Sends a file. A redirect is refused: it would send the file, and what the request is signed with, elsewhere. */
export async function upload(address: URL, send: (init: RequestInit) => Promise<Response>): Promise<void> {
  const name = nameOf(address);
  const deadline = AbortSignal.timeout(uploadTimeoutMs);
  try {
    const response = await send({ redirect: 'manual', signal: deadline });
    await response.body?.cancel();
    if (response.status === 412 || response.status === 409) throw changedMeanwhile(name);
    if (!response.ok) throw refusalOf(response, name);
  } catch (error) {
    throw asBundleError(error, name, deadline.aborted ? `it was not written within ${uploadTimeoutMs} ms` : undefined);
  }
}

export function changedMeanwhile(name: string): BundleError {
  const hint = 'push again: what the other one pushed is kept';
  return new BundleError('bundle_changed_meanwhile', `${name} was changed by somebody else meanwhile`, { hint });
}

async function follow(address: URL, ask: (address: URL) => Promise<Response>): Promise<Response> {
  let at = address;
  for (let redirects = 0; ; redirects++) {
    const response = await ask(at);
    if (![301, 302, 303, 307, 308].includes(response.status)) return response;
    await response.body?.cancel();
    const location = response.headers.get('location') ?? '';
    if (!URL.canParse(location, at.href)) throw redirected(address, 'a redirect leads nowhere');
    const next = new URL(location, at);
    if (next.origin !== address.origin) throw redirected(address, `a redirect leads to another host, ${next.host}`);
    if (redirects === maxRedirects) throw redirected(address, `there are more than ${maxRedirects} redirects`);
    at = next;
  }
}

function redirected(address: URL, message: string): BundleError {
  return new BundleError('bundle_redirected', `${nameOf(address)}: ${message}`);
}

async function bodyOf(response: Response, name: string, maxBytes: number): Promise<Buffer> {
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    await response.body?.cancel();
    throw new BundleError('bundle_encoded', `${name} came encoded as ${JSON.stringify(encoding.slice(0, 40))}`, {
      hint: 'let the server send files as they are: they are not inflated',
    });
  }
  if (Number(response.headers.get('content-length') ?? 0) > maxBytes) {
    await response.body?.cancel();
    throw tooLarge(name, maxBytes);
  }
  const pieces: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop cancels the body.
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += piece.byteLength;
    if (size > maxBytes) throw tooLarge(name, maxBytes);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

export function tooLarge(name: string, maxBytes: number): BundleError {
  return new BundleError('bundle_too_large', `${name} has more than ${maxBytes} bytes`);
}

function refusalOf(response: Response, name: string): BundleError {
  void response.body?.cancel();
  const { status, headers } = response;
  const wait = Number(headers.get('retry-after') ?? Number.NaN) * 1_000;
  const retryAfterMs = wait > 0 ? Math.min(wait, maxRetryAfterMs) : undefined;
  return new BundleError(codeOf(status), `${name}: the server answered ${status}`, {
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function codeOf(status: number): BundleErrorCode {
  if (status === 404 || status === 410) return 'bundle_missing';
  return status === 401 || status === 403 ? 'bundle_access_denied' : 'bundle_unreachable';
}

function asBundleError(error: unknown, name: string, reason = reasonOf(error)): BundleError {
  if (error instanceof BundleError) return error;
  return new BundleError('bundle_unreachable', `${name}: ${reason}`, { cause: error });
}

/** The reason of a failed `fetch`, whose own message is `fetch failed`. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

/** The address without what may be secret. */
function nameOf({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}
