/** A decision log with sinks, as the service wires them, in a folder of the test's own. */
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionLogOptions } from '../../src/decision-log/decision-log-options.js';
import { LogSinks } from '../../src/log-sinks/log-sinks.js';
import { otlpSettings } from '../../src/log-sinks/otlp/otlp-settings.js';
import { OtlpSink } from '../../src/log-sinks/otlp/otlp-sink.js';
import type { RecordSink } from '../../src/log-sinks/record-sink.js';
import { SinkOffsets } from '../../src/log-sinks/sink-offsets.js';
import { exampleRecord } from '../decision-log/example-records.js';
import type { OtlpReceiver } from '../telemetry/otlp-receiver.js';

export interface SunkLog<Log extends DecisionLog = DecisionLog> {
  readonly log: Log;
  readonly sinks: LogSinks;
  /** What was reported. */
  readonly problems: string[];
  /** Ids of what was appended. */
  append(count: number, subject?: string): Promise<string[]>;
  /** Stops the sinks, then the log. */
  stop(): Promise<void>;
}

/** @param open starts the log, which keeps what is `wanted` */
export async function startSunkLog<Log extends DecisionLog>(
  directory: string,
  sink: RecordSink,
  open: (options: Pick<DecisionLogOptions, 'retention' | 'onProblem'>) => Promise<Log>,
  maxAgeMs = 3_600_000,
): Promise<SunkLog<Log>> {
  const problems: string[] = [];
  const onProblem = (what: string) => void problems.push(what);
  let sinks: LogSinks | undefined;
  const log = await open({ retention: { wanted: { doneTo: () => sinks?.doneTo ?? 0, maxAgeMs } }, onProblem });
  const offsets = new SinkOffsets(join(directory, 'verdict.log-sinks.json'), [sink.name], onProblem);
  sinks = new LogSinks({ log, sinks: [sink], offsets, instance: 'replica-a', onProblem });
  sinks.start();
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= sinks!.stop().then(() => log.stop());
    return stopped;
  };
  onTestFinished(stop);
  return {
    log,
    sinks,
    problems,
    stop,
    append: async (count, subject = 'alice') => {
      const records = Array.from({ length: count }, () =>
        exampleRecord(log, { now: Date.now(), subject, requestId: 'r-1' }),
      );
      await Promise.all(records.map((record) => log.append(record)));
      return records.map(({ id }) => id);
    },
  };
}

export function otlpSink({ url }: Pick<OtlpReceiver, 'url'>, env: Record<string, string> = {}): OtlpSink {
  return new OtlpSink(otlpSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: url, ...env }, 'replica-a'), () => undefined);
}

/** Ids of the records that a receiver has, in the order in which they came. */
export function idsAt(receiver: OtlpReceiver): string[] {
  return receiver.logs.map(({ body }) => JSON.parse(body).id);
}
