/**
 * Records as a request of OTLP (opentelemetry-proto 1.x, logs/v1): each is a log record whose body is the record as JSON, with some
 * attributes to filter by. Written by hand, since OpenTelemetry's SDK takes three times as long.
 */
import { engineVersion } from '../../core/engine/engine-version.js';
import type { OutgoingRecord, RecordSource } from '../record-sink.js';
import { fixed32, fixed64, lengthDelimited, textField, varintField } from './protobuf.js';

/** Makes the parts of a request, so that a long one can be made in turns. */
export interface LogRequestForm {
  readonly contentType: string;
  record(record: OutgoingRecord, source: RecordSource, nowMs: number): Buffer;
  request(records: readonly Buffer[], resource: Readonly<Record<string, string>>): Buffer;
  /** How many records the answer says were not taken. */
  rejected(answer: Buffer): number;
}

type Attribute = readonly [name: string, value: string | number];

const eventName = 'verdict.decision';
const severity = { number: 9, text: 'INFO' } as const;
const traceIdForm = /^[\da-f]{32}$/;

/** Subject, action and resource are in the body alone: attributes are what receivers index. */
function attributesOf({ record }: OutgoingRecord, { journal }: RecordSource): readonly Attribute[] {
  return [
    ['verdict.decision_id', record.id],
    ['verdict.policy_set', record.policySet],
    ['verdict.policy_version', record.policyVersion],
    ['verdict.decision', record.decision],
    ['verdict.reason', record.reason.code],
    ['verdict.via', record.via],
    ['verdict.journal', journal],
    ['verdict.sequence', record.sequence],
  ];
}

function nanoseconds(ms: number): bigint {
  return BigInt(ms) * 1_000_000n;
}

export const jsonForm: LogRequestForm = {
  contentType: 'application/json',
  record(outgoing, source, nowMs) {
    const { record, text } = outgoing;
    const { traceId } = record;
    return Buffer.from(
      JSON.stringify({
        timeUnixNano: String(nanoseconds(Date.parse(record.time))),
        observedTimeUnixNano: String(nanoseconds(nowMs)),
        severityNumber: severity.number,
        severityText: severity.text,
        eventName,
        body: { stringValue: text },
        attributes: attributesOf(outgoing, source).map(jsonAttribute),
        ...(traceId !== undefined && traceIdForm.test(traceId) && { traceId }),
      }),
    );
  },
  request(records, resource) {
    const attributes = JSON.stringify(Object.entries(resource).map(jsonAttribute));
    const scope = JSON.stringify({ name: 'verdict', version: engineVersion });
    const parts = records.flatMap((record, i) => (i === 0 ? [record] : [comma, record]));
    return Buffer.concat([
      Buffer.from(
        `{"resourceLogs":[{"resource":{"attributes":${attributes}},"scopeLogs":[{"scope":${scope},"logRecords":[`,
      ),
      ...parts,
      Buffer.from(']}]}]}'),
    ]);
  },
  rejected(answer) {
    try {
      return Number(JSON.parse(answer.toString()).partialSuccess?.rejectedLogRecords ?? 0) || 0;
    } catch {
      return 0;
    }
  },
};

const comma = Buffer.from(',');

function jsonAttribute([key, value]: Attribute): object {
  return { key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } };
}

export const protobufForm: LogRequestForm = {
  contentType: 'application/x-protobuf',
  record(outgoing, source, nowMs) {
    const { record, text } = outgoing;
    const { traceId } = record;
    return Buffer.concat([
      fixed64(1, nanoseconds(Date.parse(record.time))),
      varintField(2, severity.number),
      textField(3, severity.text),
      lengthDelimited(5, textField(1, text)),
      ...attributesOf(outgoing, source).map((attribute) => lengthDelimited(6, keyValue(attribute))),
      fixed32(8, 0),
      ...(traceId !== undefined && traceIdForm.test(traceId) ? [lengthDelimited(9, Buffer.from(traceId, 'hex'))] : []),
      fixed64(11, nanoseconds(nowMs)),
      textField(12, eventName),
    ]);
  },
  request(records, resource) {
    const attributes = Object.entries(resource).map((attribute) => lengthDelimited(1, keyValue(attribute)));
    const scope = Buffer.concat([textField(1, 'verdict'), textField(2, engineVersion)]);
    const scopeLogs = Buffer.concat([
      lengthDelimited(1, scope),
      ...records.map((record) => lengthDelimited(2, record)),
    ]);
    const resourceLogs = Buffer.concat([lengthDelimited(1, Buffer.concat(attributes)), lengthDelimited(2, scopeLogs)]);
    return lengthDelimited(1, resourceLogs);
  },
  rejected(answer) {
    // ExportLogsServiceResponse { partial_success = 1 { rejected_log_records = 1 (varint), error_message = 2 } }
    if (answer[0] !== 0x0a || answer[2] !== 0x08) return 0;
    let count = 0;
    for (let at = 3, factor = 1; at < answer.length; at++, factor *= 128) {
      count += (answer[at]! & 0x7f) * factor;
      if (answer[at]! < 0x80) break;
    }
    return count;
  },
};

function keyValue([key, value]: Attribute): Buffer {
  const any = typeof value === 'number' ? varintField(3, value) : textField(1, value);
  return Buffer.concat([textField(1, key), lengthDelimited(2, any)]);
}
