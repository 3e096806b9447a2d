import type { Logger } from 'pino';
import type { ExportedMetric } from './metrics.js';
import type { Tracing } from './request-span.js';
import type { Sending } from './sending.js';
import { signalsOf } from './signals.js';

export interface TelemetryOptions {
  /** The name of this process. */
  readonly instance: string;
  readonly logger: Logger;
  readonly env?: NodeJS.ProcessEnv;
}

/** Longest time for sending what is left at the end, in milliseconds: an endpoint that hangs must not hold up a stop. */
const lastSendingMs = 2_000;

/**
 * OpenTelemetry, as far as its variables ask for it (docs/telemetry.md). Its packages are loaded only then: they are as large as
 * the rest of the service.
 */
export class Telemetry {
  /** Sends nothing. */
  static readonly off = new Telemetry(undefined, undefined);

  private readonly sending: Sending[] = [];

  private constructor(
    readonly tracing: Tracing | undefined,
    private readonly startMetrics: ((read: () => Promise<readonly ExportedMetric[]>) => Sending) | undefined,
  ) {}

  static async start({ instance, logger, env = process.env }: TelemetryOptions): Promise<Telemetry> {
    const { traces, metrics, problems } = signalsOf(env);
    for (const problem of problems) logger.warn(problem);
    if (traces === undefined && metrics === undefined) return Telemetry.off;
    const { prepareSdk } = await import('./sdk.js');
    const resource = prepareSdk(instance, logger, env);
    const tracing = traces && (await import('./traces.js')).startTracing({ resource, protocol: traces, env, logger });
    const exporting = metrics && (await import('./metrics.js'));
    const telemetry = new Telemetry(
      tracing,
      metrics && exporting && ((read) => exporting.startMetrics(read, { resource, protocol: metrics, env, logger })),
    );
    if (tracing !== undefined) telemetry.sending.push(tracing);
    return telemetry;
  }

  /** Sends from now on what `read` returns, where metrics are to be sent. */
  exportMetrics(read: () => Promise<readonly ExportedMetric[]>): void {
    if (this.startMetrics !== undefined) this.sending.push(this.startMetrics(read));
  }

  /** Sends what is left, for two seconds at most. */
  async stop(): Promise<void> {
    const last = Promise.allSettled(this.sending.map((each) => each.stop()));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, lastSendingMs);
    });
    await Promise.race([last, late]);
    clearTimeout(timer);
  }
}
