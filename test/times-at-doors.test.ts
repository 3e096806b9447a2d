/** One reader of times: what one door takes, every door takes, and for the same moment. */
import { describe, expect, it } from 'vitest';
import { DecideRequest } from '../src/api/decide-request.js';
import { decideShapes } from '../src/api/decide-routes.js';
import { expiryOf, readApiKeyFile } from '../src/auth/api-key-file.js';
import { UsageError } from '../src/cli/exit-code.js';
import { clockOf } from '../src/cli/sources/request-options.js';
import { readTests } from '../src/core/analysis/test-document.js';
import { defaultRequestLimits } from '../src/core/asked/attribute-count.js';
import { EntityStore } from '../src/core/manifest/entities.js';
import { schemaFormats } from '../src/core/manifest/schema-formats.js';
import { PolicyError } from '../src/core/problem.js';
import { VerdictError } from '../src/errors.js';
import { Validation } from '../src/http/json-schema.js';
import { readTimeRange } from '../src/query/time-range.js';

const decide = new Validation(decideShapes, defaultRequestLimits, 'refuse').of(DecideRequest);
const keyFile = (expires: string) =>
  `- name: shop\n  sha256: "${'0'.repeat(64)}"\n  scopes: [decide]\n  expires: ${JSON.stringify(expires)}\n`;

/** Each gives milliseconds, `true` where it only says whether it takes the text, and undefined where it refuses. */
const doors: Record<string, (text: string) => number | boolean | undefined> = {
  'the command line, --at': (text) => unless(UsageError, () => clockOf({ at: text })),
  'the command line, --expires': expiryOf,
  'a file of API keys, expires': (text) =>
    unless(PolicyError, () => readApiKeyFile('keys', keyFile(text))[0]!.key.expires),
  'a query on decisions or audit events, from': (text) =>
    unless(VerdictError, () => readTimeRange({ from: text }).from),
  'a query on decisions or audit events, to': (text) => unless(VerdictError, () => readTimeRange({ to: text }).to),
  'a request, at': (text) => decide({ subject: 'a', action: 'b', resource: 'c', at: text }) || undefined,
  'a schema, date-time': (text) => schemaFormats.get('date-time')!(text) || undefined,
  'a policy test, at': (text) => {
    const test = `at: ${JSON.stringify(text)}\nsubjects: [a]\nresources: [b]\ntests:\n  - { name: t, subject: a, action: read, resource: b, expect: deny }\n`;
    let refused = false;
    const tests = readTests({ file: 'tests/t.yaml', text: test }, EntityStore.of([]), () => {
      refused = true;
    });
    return refused ? undefined : tests?.[0]?.now;
  },
};

function unless(refusal: new (...args: never[]) => Error, read: () => number | undefined): number | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof refusal)) throw error;
    return undefined;
  }
}

describe.each(Object.entries(doors))('%s', (_name, read) => {
  it.each([
    '2026-03-01T09:00:00Z',
    '2026-03-01 09:00:00Z',
    '2026-03-01t09:00:00z',
    '2026-03-01 09:00:00z',
    '2026-03-01T09:00:00.000000000Z',
    '2026-03-01 10:30:00+01:30',
    '2026-02-28T19:00:00-14:00',
  ])('takes %s', (text) => {
    expect([true, Date.UTC(2026, 2, 1, 9)]).toContain(read(text));
  });

  it.each([
    '2026-03-01T09:00:00',
    '2026-03-01T09:00Z',
    '2026-03-01T9:00:00Z',
    '2026-03-01  09:00:00Z',
    '2026-02-29T09:00:00Z',
    '2026-03-01T24:00:00Z',
    '2026-03-01T09:00:60Z',
    '2026-03-01T09:00:00+24:00',
    '2026-03-01T09:00:00,5Z',
    'Sun, 01 Mar 2026 09:00:00 GMT',
    '1772355600000',
    'now',
    ' 2026-03-01T09:00:00Z',
  ])('refuses %j', (text) => {
    expect(read(text)).toBeUndefined();
  });
});
