/** Checks that every answer must pass. */
import { deepEqual, equal, match, ok } from 'node:assert/strict';

export function isJson(answer) {
  match(answer.headers['content-type'] ?? '', /^application\/json(;|$)/i, 'Content-Type is application/json');
  ok(isObject(answer.json), 'the body is a JSON object');
}

/** Section 10.1: success is 200 with a JSON object; section 5.5: a decision is a boolean, its context an object. */
export function isDecision(answer, decision) {
  equal(answer.status, 200, `200, not ${answer.status}: ${answer.text.slice(0, 200)}`);
  isJson(answer);
  isDecisionObject(answer.json);
  if (decision !== undefined) equal(answer.json.decision, decision);
}

export function isDecisionObject(json, decision) {
  ok(isObject(json), 'a decision is an object');
  equal(typeof json.decision, 'boolean', 'decision is a boolean');
  if ('context' in json) ok(isObject(json.context), 'context is an object');
  if (decision !== undefined) equal(json.decision, decision);
}

export function areDecisions(answer, decisions) {
  equal(answer.status, 200, `200, not ${answer.status}: ${answer.text.slice(0, 200)}`);
  isJson(answer);
  ok(Array.isArray(answer.json.evaluations), 'evaluations is an array');
  for (const each of answer.json.evaluations) isDecisionObject(each);
  deepEqual(
    answer.json.evaluations.map(({ decision }) => decision),
    decisions,
  );
}

/** Section 10.1.2: a status, and a message; no decision, and nothing of the inside. */
export function isError(answer, status) {
  equal(answer.status, status, `${status}, not ${answer.status}: ${answer.text.slice(0, 200)}`);
  ok(answer.text.length > 0, 'there is a message');
  if (isObject(answer.json)) {
    ok(!('decision' in answer.json), 'an error is no decision');
    ok(
      Object.values(answer.json).some((value) => typeof value === 'string' && value !== ''),
      'the message is a string',
    );
  }
  ok(!/\bat .+\.[jt]s:\d+/.test(answer.text), 'no stack trace');
}

export function isSearchResult(answer, kind, type) {
  equal(answer.status, 200, `200, not ${answer.status}: ${answer.text.slice(0, 200)}`);
  isJson(answer);
  const { results, page, context } = answer.json;
  ok(Array.isArray(results), 'results is an array');
  for (const result of results) {
    if (kind === 'action') {
      equal(typeof result.name, 'string');
    } else {
      equal(result.type, type);
      equal(typeof result.id, 'string');
    }
  }
  if (page !== undefined) {
    equal(typeof page.next_token, 'string', 'page.next_token is a string');
    for (const key of ['count', 'total']) if (key in page) ok(Number.isInteger(page[key]) && page[key] >= 0, key);
    if ('count' in page) equal(page.count, results.length);
    if ('properties' in page) ok(isObject(page.properties));
  }
  if (context !== undefined) ok(isObject(context));
}

export const idsOf = (answer) => answer.json.results.map((result) => result.id ?? result.name);

export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
