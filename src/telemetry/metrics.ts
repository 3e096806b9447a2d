/** The metrics that Prometheus reads, sent over OTLP with the same names and labels. */
import { type Attributes, type HrTime, ValueType } from '@opentelemetry/api';
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import type { Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import type { Logger } from 'pino';
import { engineVersion } from '../core/engine/engine-version.js';
import type { Sending } from './sending.js';
import type { OtlpProtocol } from './signals.js';

/** A metric as prom-client's registry returns it. */
export interface ExportedMetric {
  readonly name: string;
  readonly help: string;
  /** `counter`, `gauge` or `histogram`. */
  readonly type: unknown;
  readonly values: readonly ExportedValue[];
}

interface ExportedValue {
  /** Of a histogram: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string;
  readonly labels: { readonly [name: string]: string | number | undefined };
  readonly value: number;
}

export interface MetricsOptions {
  readonly resource: Resource;
  readonly protocol: OtlpProtocol;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

const defaultIntervalMs = 60_000;
const defaultTimeoutMs = 30_000;

/** Reads and sends at the pace of `OTEL_METRIC_EXPORT_INTERVAL`, and once more at the end. */
export function startMetrics(
  read: () => Promise<readonly ExportedMetric[]>,
  { resource, protocol, env, logger }: MetricsOptions,
): Sending {
  const exporter = protocol === 'http/json' ? new JsonExporter() : new ProtobufExporter();
  const intervalMs = millisecondsIn(env.OTEL_METRIC_EXPORT_INTERVAL) ?? defaultIntervalMs;
  const timeoutMs = Math.min(millisecondsIn(env.OTEL_METRIC_EXPORT_TIMEOUT) ?? defaultTimeoutMs, intervalMs);
  const wanted = env.OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE?.trim().toLowerCase() || 'cumulative';
  if (wanted !== 'cumulative')
    logger.warn(`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is ${wanted}: metrics are sent cumulative`);
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: timeoutMs,
  });
  const started = hrTimeOf(performance.timeOrigin);
  reader.setMetricProducer({
    collect: async () => {
      const metrics = metricData(await read(), started, hrTimeOf(Date.now()));
      const scope = { name: 'verdict', version: engineVersion };
      return { resourceMetrics: { resource, scopeMetrics: [{ scope, metrics }] }, errors: [] };
    },
  });
  return { stop: () => reader.shutdown() };
}

/** @param started when counting began */
export function metricData(metrics: readonly ExportedMetric[], started: HrTime, now: HrTime): MetricData[] {
  return metrics.filter(({ values }) => values.length > 0).map((metric) => dataOf(metric, started, now));
}

function dataOf({ name, help, type, values }: ExportedMetric, startTime: HrTime, endTime: HrTime): MetricData {
  const common = {
    // Its unit is in its name, as Prometheus has it.
    descriptor: { name, description: help, unit: '', valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (type === 'histogram') {
    const dataPoints = histogramPoints(name, values, startTime, endTime);
    return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  const dataPoints = values.map(({ labels, value }) => ({
    startTime,
    endTime,
    attributes: attributesOf(labels),
    value,
  }));
  return type === 'counter'
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
}

interface GatheredHistogram {
  readonly attributes: Attributes;
  readonly bounds: number[];
  /** Up to each bound, and in all. */
  readonly upTo: number[];
  sum: number;
  count: number;
}

function histogramPoints(
  name: string,
  values: readonly ExportedValue[],
  startTime: HrTime,
  endTime: HrTime,
): DataPoint<Histogram>[] {
  const series = new Map<string, GatheredHistogram>();
  for (const { metricName, labels, value } of values) {
    const { le, ...others } = labels;
    const attributes = attributesOf(others);
    const key = JSON.stringify(attributes);
    let gathered = series.get(key);
    if (gathered === undefined) {
      gathered = { attributes, bounds: [], upTo: [], sum: 0, count: 0 };
      series.set(key, gathered);
    }
    if (metricName === `${name}_sum`) gathered.sum = value;
    else if (metricName === `${name}_count`) gathered.count = value;
    else {
      gathered.upTo.push(value);
      if (le !== '+Inf') gathered.bounds.push(Number(le));
    }
  }
  return [...series.values()].map(({ attributes, bounds, upTo, sum, count }) => {
    // Prometheus counts up to each bound, OpenTelemetry between two.
    const counts = upTo.map((value, i) => value - (upTo[i - 1] ?? 0));
    return { startTime, endTime, attributes, value: { buckets: { boundaries: bounds, counts }, sum, count } };
  });
}

function attributesOf(labels: ExportedValue['labels']): Attributes {
  const named = Object.entries(labels).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named.map(([name, value]) => [name, String(value)]));
}

function hrTimeOf(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}

function millisecondsIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text.trim()) && Number(text) > 0 ? Number(text) : undefined;
}
