/**
 * Spans of requests, of evaluations and of commits. OpenTelemetry's SDK queues and sends them. They are made here: its own spans cost more
 * than a decision, also those that are left out (docs/telemetry.md has the figures).
 */
import {
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
} from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import type { Resource } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { engineVersion } from '../core/engine/engine-version.js';
import { callersSpanOf } from './callers-span.js';
import { newSpanId, newTraceId } from './ids.js';
import type { RequestSpan, TracedAnswer, Tracing } from './request-span.js';
import { samplerOf } from './sampler.js';
import type { Sending } from './sending.js';
import type { OtlpProtocol } from './signals.js';

export interface TracingOptions {
  readonly resource: Resource;
  readonly protocol: OtlpProtocol;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

/** Methods that semantic conventions know; any other text is one a caller made up. */
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);
const scope = { name: 'verdict', version: engineVersion };
const none: readonly never[] = [];

export function startTracing({ resource, protocol, env, logger }: TracingOptions): Tracing & Sending {
  const exporter = protocol === 'http/json' ? new JsonExporter() : new ProtobufExporter();
  const processor = new BatchSpanProcessor(exporter);
  const isSampled = samplerOf(env, (problem) => logger.warn(problem));
  const propagators = env.OTEL_PROPAGATORS?.trim() || 'tracecontext';
  const readsParent = propagators.split(',').some((name) => name.trim() === 'tracecontext');
  return {
    begin(request, reply) {
      const parent = readsParent ? callersSpanOf(request.headers) : undefined;
      const traceId = parent?.traceId ?? newTraceId();
      if (!isSampled(traceId, parent)) return;
      const span = new TracedRequest({ traceId, parent, resource, processor }, request, reply);
      (request as { span?: RequestSpan }).span = span;
    },
    stop: () => processor.shutdown(),
  };
}

/** What the spans of a request share. */
interface TraceOfRequest {
  readonly traceId: string;
  readonly parent: SpanContext | undefined;
  readonly resource: Resource;
  readonly processor: BatchSpanProcessor;
}

interface EndedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: SpanContext;
  readonly parent: SpanContext | undefined;
  /** By the clock of `performance`, in milliseconds. */
  readonly started: number;
  readonly isError: boolean;
  readonly attributes: Attributes;
}

/** Begins with the headers, ends with the answer, or with the connection if that breaks off. */
class TracedRequest implements RequestSpan {
  private readonly started = performance.now();
  private readonly context: SpanContext;
  private isOver = false;

  constructor(
    private readonly trace: TraceOfRequest,
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    this.context = this.contextOf(newSpanId());
    const end = (): void => this.end(request, reply);
    // A connection that breaks off never finishes its answer; an injected one never closes.
    reply.raw.once('finish', end).once('close', end);
  }

  get traceId(): string {
    return this.trace.traceId;
  }

  get spanId(): string {
    return this.context.spanId;
  }

  evaluated({ policySet, policyVersion, decision, reason, errors, via, durationUs }: TracedAnswer): void {
    const attributes: Attributes = {
      'verdict.policy_set': policySet,
      'verdict.policy_version': policyVersion,
      'verdict.decision': decision,
      'verdict.reason': reason.code,
      'verdict.via': via,
    };
    if (errors.length > 0) attributes['verdict.errors'] = errors.length;
    this.step('verdict.evaluate', performance.now() - durationUs / 1_000, attributes);
  }

  evaluatedBatch(size: number, startedMs: number): void {
    this.step('verdict.evaluate', startedMs, { 'verdict.batch.size': size });
  }

  async committing<T>(commit: Promise<T>, records?: number): Promise<T> {
    const started = performance.now();
    let isError = true;
    try {
      const value = await commit;
      isError = false;
      return value;
    } finally {
      this.step('verdict.commit', started, records === undefined ? {} : { 'verdict.records': records }, isError);
    }
  }

  private step(name: string, started: number, attributes: Attributes, isError = false): void {
    const [context, parent] = [this.contextOf(newSpanId()), this.context];
    this.send({ name, kind: SpanKind.INTERNAL, context, parent, started, isError, attributes });
  }

  private end(request: FastifyRequest, reply: FastifyReply): void {
    if (this.isOver) return;
    this.isOver = true;
    const attributes = attributesOf(request);
    const { statusCode } = reply;
    const isSent = reply.raw.writableFinished;
    if (isSent) attributes['http.response.status_code'] = statusCode;
    if (!isSent || statusCode >= 500) attributes['error.type'] = isSent ? String(statusCode) : 'aborted';
    this.send({
      name: nameOf(request),
      kind: SpanKind.SERVER,
      context: this.context,
      parent: this.trace.parent,
      started: this.started,
      isError: isSent && statusCode >= 500,
      attributes,
    });
  }

  private send({ name, kind, context, parent, started, isError, attributes }: EndedSpan): void {
    const ended = performance.now();
    const span: ReadableSpan = {
      name,
      kind,
      spanContext: () => context,
      ...(parent !== undefined && { parentSpanContext: parent }),
      startTime: hrTimeOf(performance.timeOrigin + started),
      endTime: hrTimeOf(performance.timeOrigin + ended),
      duration: hrTimeOf(ended - started),
      status: { code: isError ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
      attributes,
      links: none as never[],
      events: none as never[],
      ended: true,
      resource: this.trace.resource,
      instrumentationScope: scope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
    this.trace.processor.onEnd(span);
  }

  private contextOf(spanId: string): SpanContext {
    const { traceId, parent } = this.trace;
    const traceState = parent?.traceState;
    return { traceId, spanId, traceFlags: TraceFlags.SAMPLED, ...(traceState !== undefined && { traceState }) };
  }
}

/** By the template of the route: names of sets and ids in paths have no bound. */
function nameOf({ method, routeOptions: { url } }: FastifyRequest): string {
  const known = knownMethods.has(method) ? method : 'HTTP';
  return url === undefined ? known : `${known} ${url}`;
}

/**
 * By the semantic conventions for HTTP servers. The path stands there only where it is the route itself: in any other there may be
 * an id of somebody. A query never does, and neither does the address of the client.
 */
function attributesOf({ method, protocol, routeOptions: { url } }: FastifyRequest): Attributes {
  const attributes: Attributes = {
    'http.request.method': knownMethods.has(method) ? method : '_OTHER',
    'url.scheme': protocol,
  };
  if (url !== undefined) {
    attributes['http.route'] = url;
    if (!/[:*]/.test(url)) attributes['url.path'] = url;
  }
  return attributes;
}

function hrTimeOf(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}
