/** Records as the service takes them. */
import type { JournalEntry, JournalRecord } from './journal.js';

/** An entry of a journal as JSON. */
export function textOf(entry: JournalEntry): string {
  switch (entry.kind) {
    case 'record':
      return entry.text ?? recordText(entry);
    case 'written':
      return entry.text;
    case 'lost':
      return `{"lost":${entry.count},"from":"${timeText(entry.from)}","to":"${timeText(entry.to)}"}`;
    default:
      return entry satisfies never;
  }
}

/** Put together by hand: the parts that all records of a set share are written once. */
function recordText({ time, head, question, answer: given, requestId, traceparent }: JournalRecord): string {
  const { subject, action, resource, attributes, at } = question;
  const { decision: effect, reason, errors, obligations } = given;
  const lists = `"errors":${listText(errors)},"obligations":${listText(obligations)}`;
  const answer = `{"decision":"${effect}","reason":${JSON.stringify(reason)},${lists}}`;
  const ofRequest = requestId === undefined ? '' : `,"requestId":${JSON.stringify(requestId)}`;
  const ofTrace = traceparent === undefined ? '' : `,"traceparent":"${traceparent}"`;
  return `{"decidedAt":"${timeText(time)}",${head}"request":${JSON.stringify({ subject, action, resource, attributes, at })},"answer":${answer}${ofRequest}${ofTrace}}`;
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
