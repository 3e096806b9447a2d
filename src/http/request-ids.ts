/** The ids of a request across services: its request id and its trace id. */
import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { RequestSpan } from '../telemetry/request-span.js';
import { readTraceparent } from '../telemetry/traceparent.js';

export const requestIdHeader = 'x-request-id';

/**
 * The caller's `X-Request-ID` (AuthZEN 10.1.3: an arbitrary string, returned unchanged) if a header and a log line can
 * hold it; otherwise a new id.
 */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers[requestIdHeader];
  return typeof given === 'string' && isRequestId(given) ? given : randomUUID();
}

/** Node reads headers byte by byte: what looks like a control character beyond ASCII may be a part of one in UTF-8. */
function isRequestId(text: string): boolean {
  if (!/^[\x21-\x7e\x80-\xff][\x20-\x7e\x80-\xff]{0,1023}$/.test(text)) return false;
  return !/[\x80-\x9f]/.test(text) || isUtf8(Buffer.from(text, 'latin1'));
}

/**
 * The trace id of a W3C `traceparent`, if there is a valid one.
 *
 *     traceIdOf({ traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })
 *     // '0af7651916cd43dd8448eb211c80319c'
 */
export function traceIdOf({ traceparent }: IncomingHttpHeaders): string | undefined {
  return readTraceparent(traceparent)?.traceId;
}

/** What a line of the service's log says of the trace that a request belongs to, by the names that OpenTelemetry has for it. */
export function traceOf({
  headers,
  span,
}: {
  readonly headers: IncomingHttpHeaders;
  readonly span?: RequestSpan | undefined;
}): { readonly trace_id?: string; readonly span_id?: string } {
  if (span !== undefined) return { trace_id: span.traceId, span_id: span.spanId };
  const trace_id = traceIdOf(headers);
  return trace_id === undefined ? {} : { trace_id };
}
