export interface Traceparent {
  readonly traceId: string;
  /** The span of the caller. */
  readonly spanId: string;
  /** The lowest bit says that the caller traces. */
  readonly flags: number;
}

/**
 * Reads a W3C `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header); undefined for one that is not valid.
 *
 *     readTraceparent('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')
 *     // { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', flags: 1 }
 */
export function readTraceparent(header: string | readonly string[] | undefined): Traceparent | undefined {
  if (typeof header !== 'string') return undefined;
  // A later version may add fields; version ff and ids of zeros alone are invalid.
  const parts = /^(?!ff)([\da-f]{2})-((?!0{32})[\da-f]{32})-((?!0{16})[\da-f]{16})-([\da-f]{2})($|-)/.exec(header);
  if (parts === null || (parts[1] === '00' && parts[5] === '-')) return undefined;
  return { traceId: parts[2]!, spanId: parts[3]!, flags: Number.parseInt(parts[4]!, 16) };
}
