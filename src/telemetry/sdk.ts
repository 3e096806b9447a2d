/** What traces and metrics share: who sends them, and where OpenTelemetry says that it cannot. */
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { detectResources, envDetector, type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { Logger } from 'pino';
import { engineVersion } from '../core/engine/engine-version.js';

/** Longest message of OpenTelemetry that is logged, in characters: they hold whole stacks. */
const maxMessage = 500;

export function prepareSdk(instance: string, logger: Logger, env: NodeJS.ProcessEnv): Resource {
  const log = (level: 'error' | 'warn' | 'info' | 'debug') => (message: string) =>
    logger[level](`OpenTelemetry: ${message.slice(0, maxMessage)}`);
  const asked = (env.OTEL_LOG_LEVEL ?? '').toUpperCase();
  const level = Object.hasOwn(DiagLogLevel, asked) ? DiagLogLevel[asked as keyof typeof DiagLogLevel] : undefined;
  diag.setLogger(
    { error: log('error'), warn: log('warn'), info: log('info'), debug: log('debug'), verbose: log('debug') },
    { logLevel: level ?? DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const own = resourceFromAttributes({ 'service.name': 'verdict', 'service.version': engineVersion });
  return (
    own
      .merge(detectResources({ detectors: [envDetector] }))
      // Several workers have one environment: the same name for all would make one series of what each counts.
      .merge(resourceFromAttributes({ 'service.instance.id': instance }))
  );
}
