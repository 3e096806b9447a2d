/** A client that sends exactly what it is told: no library between the requirement and the bytes. */
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';

const timeoutMs = 15_000;

export class Client {
  /**
   * @param baseUrl the PDP's base URL, without a slash at its end
   * @param options `token`: sent as a bearer token; `ca`: PEM of the authority that signed the PDP's certificate
   */
  constructor(baseUrl, options = {}) {
    this.baseUrl = baseUrl;
    this.options = options;
  }

  /** Section 9.2: the well-known string goes between host and path. */
  get metadataUrl() {
    const { origin, pathname } = new URL(this.baseUrl);
    return `${origin}/.well-known/authzen-configuration${pathname === '/' ? '' : pathname}`;
  }

  evaluate(body, headers) {
    return this.post('/access/v1/evaluation', body, headers);
  }

  evaluateAll(body, headers) {
    return this.post('/access/v1/evaluations', body, headers);
  }

  search(kind, body, headers) {
    return this.post(`/access/v1/search/${kind}`, body, headers);
  }

  /** A body that is a text is sent as it is. A header whose value is undefined is left out. */
  post(path, body, headers = {}) {
    // As bytes: a text would make Node write the headers in UTF-8, too.
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    return this.send('POST', this.baseUrl + path, bytes, { 'content-type': 'application/json', ...headers });
  }

  get(url, headers = {}) {
    return this.send('GET', url, undefined, headers);
  }

  send(method, url, body, headers) {
    const { token, ca } = this.options;
    const all = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers };
    const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    if (body !== undefined) sent['content-length'] = Buffer.byteLength(body);
    const request = url.startsWith('https:') ? tlsRequest : plainRequest;
    return new Promise((resolve, reject) => {
      // The name in the certificate is that of the URL, whatever the Host header says.
      const call = request(url, { method, headers: sent, ca, servername: '', timeout: timeoutMs }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode, headers: response.headers, text, json: parsed(text) });
        });
      });
      call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      call.on('error', reject);
      call.end(body);
    });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
