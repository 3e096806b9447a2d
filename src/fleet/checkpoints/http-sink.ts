import { CheckpointSink, checkpointLine } from './checkpoint-sink.js';
import type { StoredFleetCheckpoint } from './checkpoint-store.js';

const timeoutMs = 10_000;

/**
 * A receiver to which each checkpoint is posted as JSON, in their order. Any status from 200 to 299 says that it is kept. The same one may
 * come twice: `number` says so. A user and password in the URL are sent as HTTP Basic.
 */
export class HttpSink extends CheckpointSink {
  readonly name = 'https';
  readonly place: string;
  private readonly address: URL;
  private readonly credentials: { readonly authorization?: string };

  constructor(url: URL) {
    super();
    const { username, password, origin, pathname, search } = url;
    this.address = new URL(`${pathname}${search}`, origin);
    // A query may hold a secret.
    this.place = `${origin}${pathname}`;
    const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
    this.credentials = username === '' && password === '' ? {} : { authorization: `Basic ${basic}` };
  }

  async send(checkpoint: StoredFleetCheckpoint): Promise<void> {
    const headers = { 'content-type': 'application/json', ...this.credentials };
    const body = checkpointLine(checkpoint);
    let response: Response;
    try {
      // A redirect would send the credentials elsewhere.
      const init: RequestInit = { method: 'POST', headers, body, redirect: 'manual' };
      response = await fetch(this.address, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    } catch (error) {
      const { cause, message } = error as Error;
      throw new Error(`${this.place}: ${cause instanceof Error && cause.message !== '' ? cause.message : message}`);
    }
    await response.body?.cancel();
    if (!response.ok) throw new Error(`${this.place} answered ${response.status}`);
  }
}
