/** The messages of OTLP 1.x (opentelemetry-proto), with the names that they have in its JSON form. */
import type { Field, Message } from './protobuf.js';

const one = (name: string, kind: Field['kind']): Field => ({ name, kind });
const message = (name: string, of: () => Message): Field => ({ name, kind: 'message', of });
const list = (name: string, of: () => Message): Field => ({ name, kind: 'message', of, isList: true });

const anyValue: Message = {
  1: one('stringValue', 'string'),
  2: one('boolValue', 'varint'),
  3: one('intValue', 'varint'),
  4: one('doubleValue', 'double'),
  5: message('arrayValue', () => ({ 1: list('values', () => anyValue) })),
  6: message('kvlistValue', () => ({ 1: attributes('values') })),
  7: one('bytesValue', 'bytes'),
};
const attributes = (name = 'attributes'): Field =>
  list(name, () => ({ 1: one('key', 'string'), 2: message('value', () => anyValue) }));
const resource: Field = message('resource', () => ({ 1: attributes(), 2: one('droppedAttributesCount', 'varint') }));
const scope: Field = message('scope', () => ({
  1: one('name', 'string'),
  2: one('version', 'string'),
  3: attributes(),
  4: one('droppedAttributesCount', 'varint'),
}));

const span: Message = {
  1: one('traceId', 'hex'),
  2: one('spanId', 'hex'),
  3: one('traceState', 'string'),
  4: one('parentSpanId', 'hex'),
  5: one('name', 'string'),
  6: one('kind', 'varint'),
  7: one('startTimeUnixNano', 'fixed64'),
  8: one('endTimeUnixNano', 'fixed64'),
  9: attributes(),
  10: one('droppedAttributesCount', 'varint'),
  12: one('droppedEventsCount', 'varint'),
  14: one('droppedLinksCount', 'varint'),
  15: message('status', () => ({ 2: one('message', 'string'), 3: one('code', 'varint') })),
  16: one('flags', 'fixed32'),
};

export const traces: Message = {
  1: list('resourceSpans', () => ({
    1: resource,
    2: list('scopeSpans', () => ({ 1: scope, 2: list('spans', () => span), 3: one('schemaUrl', 'string') })),
    3: one('schemaUrl', 'string'),
  })),
};

const numberPoint: Message = {
  2: one('startTimeUnixNano', 'fixed64'),
  3: one('timeUnixNano', 'fixed64'),
  4: one('asDouble', 'double'),
  6: one('asInt', 'fixed64'),
  7: attributes(),
  8: one('flags', 'varint'),
};
const histogramPoint: Message = {
  2: one('startTimeUnixNano', 'fixed64'),
  3: one('timeUnixNano', 'fixed64'),
  4: one('count', 'fixed64'),
  5: one('sum', 'double'),
  6: one('bucketCounts', 'packedFixed64'),
  7: one('explicitBounds', 'packedDouble'),
  9: attributes(),
  10: one('flags', 'varint'),
};
const metric: Message = {
  1: one('name', 'string'),
  2: one('description', 'string'),
  3: one('unit', 'string'),
  5: message('gauge', () => ({ 1: list('dataPoints', () => numberPoint) })),
  7: message('sum', () => ({
    1: list('dataPoints', () => numberPoint),
    2: one('aggregationTemporality', 'varint'),
    3: one('isMonotonic', 'varint'),
  })),
  9: message('histogram', () => ({
    1: list('dataPoints', () => histogramPoint),
    2: one('aggregationTemporality', 'varint'),
  })),
};

export const metrics: Message = {
  1: list('resourceMetrics', () => ({
    1: resource,
    2: list('scopeMetrics', () => ({ 1: scope, 2: list('metrics', () => metric), 3: one('schemaUrl', 'string') })),
    3: one('schemaUrl', 'string'),
  })),
};

const logRecord: Message = {
  1: one('timeUnixNano', 'fixed64'),
  2: one('severityNumber', 'varint'),
  3: one('severityText', 'string'),
  5: message('body', () => anyValue),
  6: attributes(),
  7: one('droppedAttributesCount', 'varint'),
  8: one('flags', 'fixed32'),
  9: one('traceId', 'hex'),
  10: one('spanId', 'hex'),
  11: one('observedTimeUnixNano', 'fixed64'),
  12: one('eventName', 'string'),
};

export const logs: Message = {
  1: list('resourceLogs', () => ({
    1: resource,
    2: list('scopeLogs', () => ({ 1: scope, 2: list('logRecords', () => logRecord), 3: one('schemaUrl', 'string') })),
    3: one('schemaUrl', 'string'),
  })),
};
