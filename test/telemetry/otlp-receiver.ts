/** A receiver of OTLP over HTTP: it decodes what comes, protobuf and JSON, plain and gzip, and refuses what is neither. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { logs, metrics, traces } from './otlp-messages.js';
import { type Decoded, decodeProtobuf } from './protobuf.js';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Decoded;
}

export interface FlatSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly ms: number;
  readonly isError: boolean;
  readonly attributes: Record<string, unknown>;
}

export interface FlatLog {
  readonly ms: number;
  readonly body: string;
  readonly traceId?: string;
  readonly eventName?: string;
  readonly severity: number;
  readonly attributes: Record<string, unknown>;
}

/** What becomes of a request; by default it is taken. Undefined: it is taken after all. */
export type Refuse = (request: Received, response: ServerResponse) => boolean | Promise<boolean>;

const messages = { '/v1/traces': traces, '/v1/metrics': metrics, '/v1/logs': logs } as const;

export class OtlpReceiver {
  /** What was taken. */
  readonly received: Received[] = [];
  /** All requests, those that were refused included. */
  requests = 0;
  /** Says of a request whether it has answered it itself. */
  refuse: Refuse = () => false;
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      void this.take(request.url!, request.headers, Buffer.concat(chunks), response).catch((error: unknown) => {
        response.writeHead(400).end(String(error));
      });
    });
  });

  static async start(port = 0): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    receiver.server.listen(port, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  get spans(): FlatSpan[] {
    return this.of('/v1/traces').flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap((each: Decoded) => each.scopeSpans.flatMap((own: Decoded) => own.spans.map(flatSpan))),
    );
  }

  /** The newest of each metric, by its name. */
  get metrics(): Map<string, Decoded> {
    const all = this.of('/v1/metrics').flatMap(({ resourceMetrics }) =>
      resourceMetrics.flatMap((each: Decoded) => each.scopeMetrics.flatMap((own: Decoded) => own.metrics as Decoded[])),
    );
    return new Map(all.map((metric) => [metric.name, metric]));
  }

  get logs(): FlatLog[] {
    return this.of('/v1/logs').flatMap(logsIn);
  }

  /** Attributes of the resources that sent something. */
  get resources(): Record<string, unknown>[] {
    return this.received.flatMap(({ body }) =>
      [...(body.resourceSpans ?? []), ...(body.resourceMetrics ?? []), ...(body.resourceLogs ?? [])].map(
        ({ resource }: Decoded) => attributesOf(resource.attributes),
      ),
    );
  }

  private of(path: string): Decoded[] {
    return this.received.filter((each) => each.path === path).map(({ body }) => body);
  }

  private async take(url: string, headers: IncomingHttpHeaders, sent: Buffer, response: ServerResponse): Promise<void> {
    this.requests++;
    const message = messages[url as keyof typeof messages];
    if (message === undefined) {
      response.writeHead(404).end();
      return;
    }
    const bytes = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    const isJson = headers['content-type'] === 'application/json';
    if (!isJson && headers['content-type'] !== 'application/x-protobuf') {
      response.writeHead(415).end();
      return;
    }
    const body = isJson ? JSON.parse(bytes.toString()) : decodeProtobuf(bytes, message);
    const request = { path: url, headers, body };
    if (await this.refuse(request, response)) return;
    this.received.push(request);
    response.writeHead(200, { 'content-type': headers['content-type'] }).end(isJson ? '{}' : '');
  }
}

export function logsIn({ resourceLogs }: Decoded): FlatLog[] {
  return resourceLogs.flatMap((each: Decoded) => each.scopeLogs.flatMap((own: Decoded) => own.logRecords.map(flatLog)));
}

function flatLog(record: Decoded): FlatLog {
  const { timeUnixNano, body, traceId, eventName, severityNumber: severity } = record;
  const ms = Number(BigInt(timeUnixNano) / 1_000_000n);
  return { ms, body: body.stringValue, traceId, eventName, severity, attributes: attributesOf(record.attributes) };
}

function flatSpan(span: Decoded): FlatSpan {
  const { name, traceId, spanId, parentSpanId, kind, startTimeUnixNano, endTimeUnixNano, status } = span;
  const ms = Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6;
  const attributes = attributesOf(span.attributes ?? []);
  return { name, traceId, spanId, parentSpanId, kind, ms, isError: status?.code === 2, attributes };
}

export function attributesOf(list: readonly Decoded[]): Record<string, unknown> {
  return Object.fromEntries(
    list.map(({ key, value }) => {
      const [only] = Object.values(value);
      return [key, 'intValue' in value ? Number(only) : only];
    }),
  );
}
