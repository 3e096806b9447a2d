import type { Logger } from 'pino';
import { type LogSinkPlace, logSinksIn } from '../config/log-sinks.js';
import type { RecordSink } from './record-sink.js';

export interface OpenSinksOptions {
  readonly instance: string;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Makes the sinks that `VERDICT_LOG_SINKS` names. What they need is loaded only then. */
export function openSinks(list: string | undefined, options: OpenSinksOptions): Promise<readonly RecordSink[]> {
  return Promise.all(logSinksIn(list).map((place) => openSink(place, options)));
}

async function openSink(place: LogSinkPlace, options: OpenSinksOptions): Promise<RecordSink> {
  const { instance, env, logger, onProblem } = options;
  switch (place.kind) {
    case 'otlp': {
      const { OtlpSink } = await import('./otlp/otlp-sink.js');
      const { otlpSettings } = await import('./otlp/otlp-settings.js');
      return new OtlpSink(otlpSettings(env, instance), onProblem);
    }
    case 'kafka': {
      const { KafkaSink } = await import('./kafka/kafka-sink.js');
      return new KafkaSink(place, instance, (message) => logger.debug({ sink: place.name }, message));
    }
    default: {
      const unknown: never = place;
      throw new Error(`no sink ${unknown}`);
    }
  }
}
