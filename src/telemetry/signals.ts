/** Which of OpenTelemetry's signals are sent, as its own variables say. Nothing of OpenTelemetry is loaded to find that out. */

export type OtlpProtocol = 'http/protobuf' | 'http/json';

export interface Signals {
  /** How spans are sent; undefined where they are not. */
  readonly traces: OtlpProtocol | undefined;
  /** The same of metrics. */
  readonly metrics: OtlpProtocol | undefined;
  /** What was asked for and cannot be done, for people. */
  readonly problems: readonly string[];
}

/**
 * A signal is sent where its endpoint, or that of all signals, is set.
 *
 *     signalsOf({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_METRICS_EXPORTER: 'none' })
 *     // { traces: 'http/protobuf', metrics: undefined, problems: [] }
 */
export function signalsOf(env: NodeJS.ProcessEnv): Signals {
  const problems: string[] = [];
  if (isTrue(env.OTEL_SDK_DISABLED)) return { traces: undefined, metrics: undefined, problems };
  return { traces: protocolOf('TRACES', env, problems), metrics: protocolOf('METRICS', env, problems), problems };
}

/** The protocol in which a signal is sent; undefined for one that is not, or cannot be. */
export function protocolOf(
  signal: 'TRACES' | 'METRICS' | 'LOGS',
  env: NodeJS.ProcessEnv,
  problems: string[],
): OtlpProtocol | undefined {
  if (endpointOf(signal, env) === undefined) return undefined;
  const exporter = env[`OTEL_${signal}_EXPORTER`]?.trim() || 'otlp';
  if (exporter === 'none') return undefined;
  if (exporter !== 'otlp') {
    problems.push(`OTEL_${signal}_EXPORTER is ${exporter}: only otlp and none are known, so nothing is sent`);
    return undefined;
  }
  const own = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
  const name = env[own] ? own : 'OTEL_EXPORTER_OTLP_PROTOCOL';
  const protocol = env[name]?.trim() || 'http/protobuf';
  if (protocol === 'http/protobuf' || protocol === 'http/json') return protocol;
  problems.push(`${name} is ${protocol}: only http/protobuf and http/json are known, so nothing is sent`);
  return undefined;
}

/** Where a signal is sent, as it stands in the environment. */
export function endpointOf(signal: 'TRACES' | 'METRICS' | 'LOGS', env: NodeJS.ProcessEnv): string | undefined {
  const own = env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]?.trim();
  if (own) return own;
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT?.trim();
  return base ? `${base.replace(/\/$/, '')}/v1/${signal.toLowerCase()}` : undefined;
}

function isTrue(text: string | undefined): boolean {
  return text?.trim().toLowerCase() === 'true';
}
