import type { FetchedFile, GetOptions, PutCondition } from './bundle-transport.js';
import { BundleTransport } from './bundle-transport.js';
import { download, upload } from './http-exchange.js';

/** Bundles on a web server; a user and password in the URL are sent as HTTP Basic. Written by `PUT`. */
export class HttpTransport extends BundleTransport {
  readonly place: string;
  private readonly folder: URL;
  private readonly credentials: { readonly authorization?: string };

  constructor(url: URL) {
    super();
    const { username, password } = url;
    this.folder = new URL(url.pathname.replace(/\/*$/, '/'), url.origin);
    this.place = this.folder.href;
    const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
    this.credentials = username === '' && password === '' ? {} : { authorization: `Basic ${basic}` };
  }

  get(path: string, options: GetOptions): Promise<FetchedFile | 'unchanged'> {
    return download(new URL(path, this.folder), options, (address, init) =>
      fetch(address, { ...init, headers: { ...(init.headers as Record<string, string>), ...this.credentials } }),
    );
  }

  put(path: string, bytes: Uint8Array, condition?: PutCondition): Promise<void> {
    const address = new URL(path, this.folder);
    const headers = { ...this.credentials, ...conditionHeaders(condition), ...contentHeaders(path) };
    return upload(address, (init) => fetch(address, { ...init, method: 'PUT', headers, body: new Uint8Array(bytes) }));
  }
}

export function conditionHeaders(condition: PutCondition | undefined): Record<string, string> {
  if (condition === undefined) return {};
  return condition === 'absent' ? { 'if-none-match': '*' } : { 'if-match': condition.etag };
}

/**
 * What a file is, and how long it may be cached: an archive for ever, since it is never another one; the index, and
 * signatures, which may be made anew, only as long as they are asked for.
 */
export function contentHeaders(path: string): Record<string, string> {
  if (path.endsWith('.tar')) {
    return { 'content-type': 'application/x-tar', 'cache-control': 'max-age=31536000, immutable' };
  }
  const type = path.endsWith('.json') ? 'application/json' : 'application/jose';
  return { 'content-type': type, 'cache-control': 'no-cache' };
}
