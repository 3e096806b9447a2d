/** Records as the service takes them: JSON, put together by hand, since the parts that all records of a set share are written once. */
import type { EngineDecision } from '@verdict/engine';
import { jsonText } from './json-text.js';

export type RecordedAnswer = Pick<EngineDecision, 'decision' | 'reason' | 'errors' | 'obligations'>;

/** What a record says beside question and answer. */
export interface AboutRecord {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** What it says of the set: JSON, with a comma behind it. */
  readonly head: string;
  readonly requestId: string | undefined;
  readonly traceparent: string | undefined;
}

/** @param question JSON of what a record holds of it */
export function recordText(
  { time, head, requestId, traceparent }: AboutRecord,
  question: string,
  answer: RecordedAnswer,
): string {
  const ofRequest = requestId === undefined ? '' : requestIdMember(requestId);
  const ofTrace = traceparent === undefined ? '' : `,"traceparent":"${traceparent}"`;
  return `{"decidedAt":"${timeText(time)}",${head}"request":${question},"answer":${answerText(answer)}${ofTrace}${ofRequest}}`;
}

/** A record that has no `requestId`, with one. */
export function withRequestId(record: string, requestId: string): string {
  return `${record.slice(0, -1)}${requestIdMember(requestId)}}`;
}

function requestIdMember(requestId: string): string {
  return `,"requestId":${jsonText(requestId)}`;
}

export function lossText({
  count,
  from,
  to,
}: {
  readonly count: number;
  readonly from: number;
  readonly to: number;
}): string {
  return `{"lost":${count},"from":"${timeText(from)}","to":"${timeText(to)}"}`;
}

function answerText({ decision, reason, errors, obligations }: RecordedAnswer): string {
  return `{"decision":"${decision}","reason":${reasonText(reason)},"errors":${listText(errors)},"obligations":${listText(obligations)}}`;
}

function reasonText({ code, rule, file, line, message }: EngineDecision['reason']): string {
  if (rule === undefined && message === undefined) return `{"code":"${code}"}`;
  const ofRule = rule === undefined ? '' : `,"rule":${ruleText(rule)}`;
  const ofFile = file === undefined ? '' : `,"file":${jsonText(file)}`;
  const ofLine = line === undefined ? '' : `,"line":${line}`;
  const ofMessage = message === undefined ? '' : `,"message":${JSON.stringify(message)}`;
  return `{"code":"${code}"${ofRule}${ofFile}${ofLine}${ofMessage}}`;
}

function ruleText(fields: readonly string[]): string {
  let text = '[';
  for (const [index, field] of fields.entries()) text += index === 0 ? jsonText(field) : `,${jsonText(field)}`;
  return `${text}]`;
}

function listText(list: readonly unknown[]): string {
  return list.length === 0 ? '[]' : JSON.stringify(list);
}

let lastTime = Number.NaN;
let lastText = '';

/** RFC 3339. Many decisions are of the same millisecond. */
export function timeText(ms: number): string {
  if (ms !== lastTime) {
    lastTime = ms;
    lastText = new Date(ms).toISOString();
  }
  return lastText;
}
