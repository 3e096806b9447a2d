/**
 * `POST /v1/decision-records`: what clients decided in their own processes. Registered on Nest's Fastify instance itself, as the
 * routes of decisions are.
 */
import type { FastifyInstance } from 'fastify';
import { parseRfc3339 } from '../core/rfc3339.js';
import { VerdictError } from '../errors.js';
import { isGone } from '../http/answer-in-parts.js';
import { askerOf } from '../http/asker.js';
import type { Gate } from '../http/gate.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation, type Validator } from '../http/json-schema.js';
import type { Operation } from '../http/operation.js';
import { traceIdOf } from '../http/request-ids.js';
import type { BatchItem } from '../http/strict-json.js';
import type { LocalRecords } from '../pdp/local-records/local-records.js';
import type { SentItem } from '../pdp/local-records/sent-records.js';
import { DecisionRecordsRequest, LocalRecordBody, LostRecordsBody } from './decision-records.request.js';
import { DecisionRecordsAnswer } from './decision-records-answer.js';

const operation: Operation = {
  id: 'writeDecisionRecords',
  tag: 'decide',
  summary: 'Record what a client decided in its own process; each is decided again before it is taken',
  body: DecisionRecordsRequest,
  answers: {
    200: { description: 'What was taken. The same records again change nothing.', json: DecisionRecordsAnswer },
  },
  refusals: [
    'malformed_request',
    'clock_off',
    'records_missing',
    'instance_taken',
    'payload_too_large',
    'records_in_progress',
    'decision_log_unavailable',
    'database_unavailable',
  ],
};

export function registerDecisionRecords(
  fastify: FastifyInstance,
  records: LocalRecords,
  limits: HttpLimits,
  gate: Gate,
): void {
  const validation = new Validation([DecisionRecordsRequest, LocalRecordBody, LostRecordsBody], limits, 'refuse');
  const isRecord = validation.of(LocalRecordBody);
  const isLoss = validation.of(LostRecordsBody);
  fastify.post<{ Body: DecisionRecordsRequest }>('/v1/decision-records', {
    config: { access: 'decide', limit: 'decide', list: 'records', operation },
    schema: { body: { $ref: DecisionRecordsRequest.name } },
    validatorCompiler: () => validation.of(DecisionRecordsRequest),
    schemaErrorFormatter: invalidRequest,
    bodyLimit: limits.batchBytes,
    handler: async (request, reply): Promise<DecisionRecordsAnswer> => {
      const endsAt = performance.now() + limits.batchSeconds * 1000;
      const { instance, first, sentAt, end = false } = request.body;
      // What the content type parser leaves of the list.
      const items = request.body.records as readonly BatchItem[];
      gate.charge('decide', request, reply, items.length, request.bodyBytes);
      const sent = {
        instance,
        first,
        sentAt: timeOf(sentAt),
        end,
        count: items.length,
        items: eachItem(items, isRecord, isLoss),
      };
      return records.take(sent, askerOf(request, 'local'), { endsAt, isGone: () => isGone(request) });
    },
  });
}

/** The items, each validated by itself: one that is not valid takes its number, the others are taken. */
function* eachItem(items: readonly BatchItem[], isRecord: Validator, isLoss: Validator): Iterable<SentItem> {
  for (const item of items) yield sentItem(item, isRecord, isLoss);
}

function sentItem(item: BatchItem, isRecord: Validator, isLoss: Validator): SentItem {
  const value = item.value();
  if (value instanceof VerdictError) return value;
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'lost')) {
    if (!isLoss(value)) return invalidRequest(isLoss.errors!);
    // Sound: it has just been validated.
    const loss = value as unknown as LostRecordsBody;
    return { lost: loss.lost, from: timeOf(loss.from), to: timeOf(loss.to) };
  }
  if (!isRecord(value)) return invalidRequest(isRecord.errors!);
  const record = value as unknown as LocalRecordBody;
  const decidedAt = timeOf(record.decidedAt);
  if (decidedAt < 0) return wrongTimes;
  const { policySet, policyVersion, engineVersion, request, answer, durationUs, requestId, traceparent } = record;
  // Written out, since spreading one object over another takes as long as a decision.
  return {
    decidedAt,
    policySet,
    policyVersion,
    engineVersion,
    request,
    answer,
    durationUs,
    requestId,
    traceId: traceparent === undefined ? undefined : traceIdOf({ traceparent }),
  };
}

/** Validation lets only RFC 3339 times pass. */
function timeOf(text: string): number {
  return Math.floor(parseRfc3339(text)!);
}

const wrongTimes = new VerdictError('invalid_request', 'The time of the record is before 1970.');
