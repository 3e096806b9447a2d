/** OpenTelemetry's variables, as far as logs are concerned. */
import { readFileSync } from 'node:fs';
import { engineVersion } from '../../core/engine/engine-version.js';
import { endpointOf, type OtlpProtocol, protocolOf } from '../../telemetry/signals.js';

export interface OtlpSettings {
  readonly url: URL;
  readonly protocol: OtlpProtocol;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly isCompressed: boolean;
  readonly tls: { readonly ca?: Buffer; readonly key?: Buffer; readonly cert?: Buffer };
  /** Who sends. */
  readonly resource: Readonly<Record<string, string>>;
}

const defaultTimeoutMs = 10_000;

/**
 * @throws Error that says which variable is missing or wrong
 */
export function otlpSettings(env: NodeJS.ProcessEnv, instance: string): OtlpSettings {
  const endpoint = endpointOf('LOGS', env);
  if (endpoint === undefined)
    throw new Error('otlp wants OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT');
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol))
    throw new Error('otlp wants an http(s) URL in OTEL_EXPORTER_OTLP_ENDPOINT');
  const problems: string[] = [];
  // What the sinks say is what is sent, whatever the exporter of other logs.
  const protocol = protocolOf('LOGS', { ...env, OTEL_LOGS_EXPORTER: 'otlp' }, problems);
  if (protocol === undefined) throw new Error(problems.join('; '));
  const own = (name: string): string | undefined =>
    env[`OTEL_EXPORTER_OTLP_LOGS_${name}`]?.trim() || env[`OTEL_EXPORTER_OTLP_${name}`]?.trim() || undefined;
  const timeout = Number(own('TIMEOUT') ?? defaultTimeoutMs);
  const file = (name: string, as: string) => {
    const path = own(name);
    return path === undefined ? {} : { [as]: readFileSync(path) };
  };
  return {
    url: new URL(endpoint),
    protocol,
    headers: { ...pairsIn(env.OTEL_EXPORTER_OTLP_HEADERS), ...pairsIn(env.OTEL_EXPORTER_OTLP_LOGS_HEADERS) },
    timeoutMs: timeout > 0 ? timeout : defaultTimeoutMs,
    isCompressed: own('COMPRESSION') === 'gzip',
    tls: { ...file('CERTIFICATE', 'ca'), ...file('CLIENT_KEY', 'key'), ...file('CLIENT_CERTIFICATE', 'cert') },
    resource: {
      'service.name': env.OTEL_SERVICE_NAME?.trim() || 'verdict',
      'service.version': engineVersion,
      ...pairsIn(env.OTEL_RESOURCE_ATTRIBUTES),
      ...(env.OTEL_SERVICE_NAME?.trim() && { 'service.name': env.OTEL_SERVICE_NAME.trim() }),
      'service.instance.id': instance,
    },
  };
}

/** `a=1,b=x%20y`, as OpenTelemetry writes lists; what cannot be read is left out. */
function pairsIn(text: string | undefined): Record<string, string> {
  const pairs = (text ?? '').split(',').flatMap((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) return [];
    try {
      return [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())] as const];
    } catch {
      return [];
    }
  });
  return Object.fromEntries(pairs);
}
