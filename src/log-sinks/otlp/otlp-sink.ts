import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Turns } from '../../turns/turns.js';
import { type OutgoingRecord, type RecordSink, type RecordSource, RecordsRefused } from '../record-sink.js';
import { sendApart } from '../send-apart.js';
import { jsonForm, type LogRequestForm, protobufForm } from './log-request.js';
import type { OtlpSettings } from './otlp-settings.js';

const compress = promisify(gzip);

/** Longest answer that is read, in bytes: it says at most how many records were not taken. */
const maxAnswer = 64 * 1024;
/** What the records of a request are refused with, rather than the request or its sender. */
const refusals = new Set([400, 413, 422]);

/**
 * Sends records as logs over OTLP/HTTP.
 *
 * The specification lets a client drop what is answered with other codes than 429, 502, 503 and 504. Here only what the receiver
 * will not take for its content is given up (`sendApart`); a wrong address or credential is tried again, until somebody mends it.
 */
export class OtlpSink implements RecordSink {
  readonly name = 'otlp';
  private readonly agent: HttpAgent | HttpsAgent;
  private readonly form: LogRequestForm;

  constructor(
    private readonly settings: OtlpSettings,
    private readonly onProblem: (what: string, error: unknown) => void,
  ) {
    const { url, tls, protocol } = settings;
    const options = { keepAlive: true, maxSockets: 1 };
    this.agent = url.protocol === 'https:' ? new HttpsAgent({ ...options, ...tls }) : new HttpAgent(options);
    this.form = protocol === 'http/json' ? jsonForm : protobufForm;
  }

  async send(records: readonly OutgoingRecord[], source: RecordSource): Promise<readonly OutgoingRecord[]> {
    const encoded = new Map<OutgoingRecord, Buffer>();
    const turns = new Turns();
    const now = Date.now();
    for (const record of records) {
      if (turns.isOver) await turns.next();
      encoded.set(record, this.form.record(record, source, now));
    }
    return sendApart(records, (some) => this.post(some.map((record) => encoded.get(record)!)));
  }

  async close(): Promise<void> {
    this.agent.destroy();
  }

  private async post(records: readonly Buffer[]): Promise<void> {
    const { resource, isCompressed } = this.settings;
    const plain = this.form.request(records, resource);
    const { status, answer, reason } = await this.ask(isCompressed ? await compress(plain) : plain);
    if (refusals.has(status)) throw new RecordsRefused(`the receiver answers ${status} ${reason}`.trim());
    if (status < 200 || status > 299) throw new Error(`the receiver answers ${status} ${reason}`.trim());
    const rejected = this.form.rejected(answer);
    // It does not say which, and may not be asked again.
    if (rejected > 0) this.onProblem(`the receiver says that it did not take ${rejected} decision records`, undefined);
  }

  private ask(body: Buffer): Promise<{ status: number; answer: Buffer; reason: string }> {
    const { url, headers, timeoutMs, isCompressed } = this.settings;
    return new Promise((resolve, reject) => {
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const request = send(url, {
        method: 'POST',
        agent: this.agent,
        headers: {
          ...headers,
          'content-type': this.form.contentType,
          'content-length': body.length,
          ...(isCompressed && { 'content-encoding': 'gzip' }),
        },
      });
      // Of the whole, not of silence: a receiver that sends a byte now and then would hold it for ever.
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      request.once('close', () => clearTimeout(timer));
      request.once('error', reject);
      request.once('response', (response: IncomingMessage) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length <= maxAnswer) chunks.push(chunk);
        });
        response.once('error', reject);
        response.once('end', () => {
          const { statusCode = 0, statusMessage = '' } = response;
          resolve({ status: statusCode, answer: Buffer.concat(chunks), reason: statusMessage });
        });
      });
      request.end(body);
    });
  }
}
