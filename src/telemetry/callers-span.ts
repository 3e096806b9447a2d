import type { IncomingHttpHeaders } from 'node:http';
import { createTraceState, type SpanContext } from '@opentelemetry/api';
import { readTraceparent } from './traceparent.js';

/** The span of the caller, of which that of the request is a part, as `traceparent` and `tracestate` say; undefined where there is none. */
export function callersSpanOf({ traceparent, tracestate }: IncomingHttpHeaders): SpanContext | undefined {
  const parent = readTraceparent(traceparent);
  if (parent === undefined) return undefined;
  const { traceId, spanId, flags } = parent;
  const context = { traceId, spanId, traceFlags: flags & 1, isRemote: true };
  return typeof tracestate === 'string' ? { ...context, traceState: createTraceState(tracestate) } : context;
}
