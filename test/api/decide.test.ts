import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';

const oddIds = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  ' ',
  '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}',
  "Robert'); DROP TABLE decision;--",
  '*',
  '%',
  '_',
  '?',
  '"quoted"',
  'a,b',
  'back\\slash',
  'é',
  'e\u0301',
  'x'.repeat(1024),
];

const quote = (field: string) => (/[",\s]|^$/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);

const files = {
  'default/model.conf': idModel,
  'default/rules.csv': `p, ann, doc, read\n${oddIds
    .filter((id) => id.trim() !== '')
    .map((id) => `p, ${quote(id)}, ${quote(id)}, ${quote(id)}\n`)
    .join('')}`,
  'attributes/model.conf': idModel.replace(/m = .*/, 'm = r.sub.level > 3 && r.obj == p.obj && r.act == p.act'),
  'attributes/rules.csv': 'p, ann, doc, read\n',
  'clocked/model.conf': idModel,
  'clocked/rules.csv': 'p, ann, doc, read\n',
  'clocked/policy-set.yaml': 'clock: request\n',
  'masked/model.conf': idModel,
  'masked/rules.csv': 'p, ann, doc, read\n',
  'masked/policy-set.yaml': 'decisionLog: { mask: [/subject/attributes/ssn] }\n',
};

let service: Service;
beforeAll(async () => {
  service = await startService(files);
});
afterAll(() => service.stop());

const decide = (body: unknown, headers?: Record<string, string>) => service.post('/v1/decide', body, headers);
const question = { subject: 'ann', action: 'read', resource: 'doc' };

describe('a decision', () => {
  it('says what was decided, by which version and why', async () => {
    const { status, body } = await decide(question);
    expect(status).toBe(200);
    expect(body).toEqual({
      allowed: true,
      decision: 'allow',
      decisionId: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      policySet: 'default',
      policyVersion: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      reason: { code: 'rule_allowed', rule: ['p', 'ann', 'doc', 'read'], file: 'rules.csv', line: 1 },
      obligations: [],
      errors: [],
    });
  });

  it('is 200 for a deny too', async () => {
    const { status, body } = await decide({ ...question, action: 'write' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ allowed: false, decision: 'deny', reason: { code: 'no_matching_rule' } });
  });

  it('is the same at /decide', async () => {
    const { body } = await service.post('/decide', question);
    expect(body).toMatchObject({ allowed: true, policySet: 'default' });
  });

  it('takes objects where it takes texts', async () => {
    const { body } = await decide({
      subject: { id: 'ann', type: 'user', attributes: { level: 1 } },
      action: { name: 'read', attributes: {} },
      resource: { id: 'doc' },
    });
    expect(body.allowed).toBe(true);
  });

  it('denies and reports what went wrong in a rule', async () => {
    const { body } = await decide({
      ...question,
      policySet: 'attributes',
      subject: { id: 'x', attributes: { level: '4' } },
    });
    expect(body).toMatchObject({
      allowed: false,
      errors: [{ rule: ['p', 'ann', 'doc', 'read'], file: 'rules.csv', line: 1 }],
    });
  });

  it('leaves the places out with explain none, in the reason and in the errors', async () => {
    const allowed = await decide({ ...question, explain: 'none' });
    expect(allowed.body.reason).toEqual({ code: 'rule_allowed' });
    const failed = await decide({ ...question, policySet: 'attributes', explain: 'none' });
    expect(failed.body.errors).toEqual([{ code: expect.any(String), message: expect.any(String) }]);
    const { body: record } = await service.get(`/v1/decisions/${allowed.body.decisionId}`);
    expect(record.reason).toMatchObject({ code: 'rule_allowed', rule: ['p', 'ann', 'doc', 'read'] });
  });

  it('explains in full when it is asked to', async () => {
    const { body } = await decide({ ...question, subject: 'bob', explain: 'full' });
    expect(body).toMatchObject({ allowed: false, explanation: expect.any(Object) });
  });

  it('goes by the clock of the request only where the set says so', async () => {
    const at = '2026-03-01T08:00:00+01:00';
    const { body } = await decide({ ...question, policySet: 'clocked', at });
    const { body: record } = await service.get(`/v1/decisions/${body.decisionId}`);
    expect(record.clock).toBe('2026-03-01T07:00:00.000Z');
    expect(record.time).not.toBe(record.clock);
    const refused = await decide({ ...question, at });
    expect(refused).toMatchObject({ status: 400, body: { errors: [{ pointer: '/at' }] } });
    const invalid = await decide({ ...question, policySet: 'clocked', at: 'yesterday' });
    expect(invalid).toMatchObject({ status: 400, body: { errors: [{ pointer: '/at' }] } });
  });

  it.each(oddIds)('is right, recorded right and found again for the id %j', async (id) => {
    const { status, body } = await decide({ subject: id, action: id, resource: id });
    expect(status).toBe(200);
    expect(body.allowed).toBe(id.trim() !== '');
    const parameters = new URLSearchParams({ subject: id, action: id, resource: id });
    const { body: page } = await service.get(`/v1/decisions?${parameters}`);
    expect(page.items.map((record: { id: string }) => record.id)).toEqual([body.decisionId]);
    expect(page.items[0].request).toEqual({ subject: { id }, action: { name: id }, resource: { id } });
  });
});

describe('the record of a decision', () => {
  it('holds the question as it was evaluated, the answer, and who asked', async () => {
    const { body: answer } = await decide(
      { subject: { type: 'user', id: 'ann' }, action: 'read', resource: 'doc', attributes: { ip: '10.0.0.7' } },
      { 'x-request-id': 'req 1', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    );
    const { body: record } = await service.get(`/v1/decisions/${answer.decisionId}`);
    expect(record).toEqual({
      id: answer.decisionId,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      policySet: 'default',
      policyVersion: answer.policyVersion,
      engineVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      semantics: 2,
      request: {
        subject: { type: 'user', id: 'ann' },
        action: { name: 'read' },
        resource: { id: 'doc' },
        attributes: { ip: '10.0.0.7' },
      },
      clock: record.time,
      decision: 'allow',
      reason: answer.reason,
      errors: [],
      obligations: [],
      caller: 'anonymous',
      authentication: 'none',
      via: 'decide',
      requestId: 'req 1',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      durationUs: expect.any(Number),
      instance: expect.any(String),
      writer: expect.any(Number),
      sequence: expect.any(Number),
    });
  });

  it('is masked as the set says, while the decision sees the value', async () => {
    const { body } = await decide({
      ...question,
      policySet: 'masked',
      subject: { id: 'ann', attributes: { ssn: '078-05-1120' } },
    });
    expect(body.allowed).toBe(true);
    const { body: record } = await service.get(`/v1/decisions/${body.decisionId}`);
    expect(record.request.subject.attributes).toEqual({ ssn: '[masked]' });
  });

  it.each([
    '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-future',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
  ])('takes the trace id of %s', async (traceparent) => {
    const { body } = await decide(question, { traceparent });
    const { body: record } = await service.get(`/v1/decisions/${body.decisionId}`);
    expect(record.traceId).toBe('0af7651916cd43dd8448eb211c80319c');
  });

  it.each([
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more',
    'garbage',
  ])('takes no trace id of %s', async (traceparent) => {
    const { body } = await decide(question, { traceparent });
    const { body: record } = await service.get(`/v1/decisions/${body.decisionId}`);
    expect(record).not.toHaveProperty('traceId');
  });
});

describe('a request', () => {
  const errorsOf = async (body: unknown) => {
    const answer = await decide(body);
    expect(answer.status).toBe(400);
    return answer.body.errors.map(({ pointer, detail }: Record<string, string>) => `${pointer}: ${detail}`);
  };

  it.each<[unknown, string[]]>([
    [{}, ['/subject: subject is required', '/action: action is required', '/resource: resource is required']],
    [[], [': the body must be an object']],
    ['"text"', [': the body must be an object']],
    [{ ...question, subject: 5 }, ['/subject: subject must be a string or an object']],
    [{ ...question, subject: null }, ['/subject: subject must be a string or an object']],
    [{ ...question, subject: ['ann'] }, ['/subject: subject must be a string or an object']],
    [{ ...question, subject: {} }, ['/subject/id: id is required']],
    [{ ...question, subject: { id: 5 } }, ['/subject/id: id must be a string']],
    [{ ...question, subject: { id: 'ann', type: null } }, ['/subject/type: type must be a string']],
    [
      { ...question, action: { id: 'read' } },
      ['/action/name: name is required', '/action/id: property id should not exist'],
    ],
    [
      { ...question, resource: { id: 'doc', atributes: {} } },
      ['/resource/atributes: property atributes should not exist'],
    ],
    [{ ...question, attributes: [] }, ['/attributes: attributes must be an object']],
    [{ ...question, attributes: null }, ['/attributes: attributes must be an object']],
    [{ ...question, 'a/b~c': 1 }, ['/a~1b~0c: property a/b~c should not exist']],
    [{ ...question, explain: 'all' }, ['/explain: explain must be one of the following values: none, brief, full']],
    [{ ...question, policySet: 1 }, ['/policySet: policySet must be a string']],
    [
      '{"subject":"ann","action":"read","resource":"doc","attributes":{"a":1e999}}',
      ['/attributes/a: a is a number that is too large to be exact'],
    ],
    [
      '{"subject":"ann","action":"read","resource":{"id":"doc","attributes":{"a/b":[{"n":9007199254740993}]}}}',
      ['/resource/attributes/a~1b/0/n: n is a number that is too large to be exact'],
    ],
    [
      { subject: { id: 'an\nn', type: 'us\u0085er' }, action: { name: 're\u0001ad' }, resource: 'do\u007fc' },
      [
        '/subject/type: type must not hold control characters',
        '/subject/id: id must not hold control characters',
        '/action/name: name must not hold control characters',
        '/resource: resource must not hold control characters',
      ],
    ],
  ])('%j is refused, every fault by its pointer', async (body, errors) => {
    expect(await errorsOf(body)).toEqual(errors);
  });

  it('reports at most 20 faults of fifty thousand', async () => {
    const body = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`f${i}`, 0]));
    const answer = await decide(body);
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toHaveLength(20);
    expect(answer.body.detail).toContain('The first 20 of');
  });

  it('may have ids of 1,024 characters, however many code units each takes, and not of 1,025', async () => {
    for (const character of ['x', '\u{1f600}']) {
      expect((await decide({ ...question, subject: character.repeat(1024) })).status).toBe(200);
      expect(await errorsOf({ ...question, subject: character.repeat(1025) })).toEqual([
        '/subject: subject must be shorter than or equal to 1024 characters',
      ]);
      expect(await errorsOf({ ...question, resource: { id: 'x', type: character.repeat(1025) } })).toEqual([
        '/resource/type: type must be shorter than or equal to 1024 characters',
      ]);
    }
  });

  it.each(['subject', 'resource', ''])('may nest attributes of %j 16 deep and not 17', async (owner) => {
    const nested = (depth: number) => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
    const request = (depth: number) =>
      owner === ''
        ? { ...question, attributes: nested(depth) }
        : { ...question, [owner]: { id: 'x', attributes: nested(depth) } };
    expect((await decide(request(16))).status).toBe(200);
    expect(await errorsOf(request(17))).toEqual([
      `${owner === '' ? '' : `/${owner}`}/attributes: attributes is nested deeper than 16 levels`,
    ]);
  });

  it('counts arrays as levels', async () => {
    const nested = (depth: number) => ({ a: JSON.parse(`${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}`) });
    expect((await decide({ ...question, attributes: nested(16) })).status).toBe(200);
    expect((await decide({ ...question, attributes: nested(17) })).status).toBe(400);
  });

  it('may be 1 MiB and not a byte more', async () => {
    const body = (bytes: number) => {
      const text = JSON.stringify({ ...question, attributes: { a: '' } });
      return text.replace('"a":""', `"a":"${'x'.repeat(bytes - text.length)}"`);
    };
    expect((await decide(body(1024 * 1024))).status).toBe(200);
    const refused = await decide(body(1024 * 1024 + 1));
    expect(refused.status).toBe(413);
    expect(refused.body.type).toBe('urn:verdict:problem:payload_too_large');
  });

  it('has the limits that the operator sets', async () => {
    const strict = await startService(onePolicySet, { maxIdLength: 3, maxAttributeDepth: 1, maxBodyBytes: 1024 });
    try {
      const ask = async (body: unknown) => (await strict.post('/v1/decide', body)).status;
      expect(await ask({ subject: 'ann', action: 'r', resource: 'doc', attributes: { a: 1 } })).toBe(200);
      expect(await ask({ subject: 'anna', action: 'r', resource: 'doc' })).toBe(400);
      expect(await ask({ subject: 'ann', action: 'r', resource: 'doc', attributes: { a: {} } })).toBe(400);
      expect(await ask(`{"subject":"ann"}${' '.repeat(1008)}`)).toBe(413);
    } finally {
      await strict.stop();
    }
  });

  it('that names no set where there is no default is told the sets', async () => {
    const { 'default/model.conf': model, 'default/rules.csv': rules } = onePolicySet as Record<string, string>;
    const two = await startService({
      'a/model.conf': model!,
      'a/rules.csv': rules!,
      'b/model.conf': model!,
      'b/rules.csv': rules!,
    });
    try {
      const { status, body } = await two.post('/v1/decide', question);
      expect(status).toBe(400);
      expect(body.type).toBe('urn:verdict:problem:no_policy_set');
      expect(body.detail).toContain('a, b');
      expect((await two.post('/v1/decide', { ...question, policySet: 'b' })).body.policySet).toBe('b');
    } finally {
      await two.stop();
    }
  });

  it('that names an unknown set is 404', async () => {
    expect((await decide({ ...question, policySet: 'nope' })).body).toMatchObject({
      status: 404,
      type: 'urn:verdict:problem:policy_set_not_found',
    });
  });
});

describe('a batch', () => {
  const batch = (body: unknown) => service.post('/v1/decide/batch', body);

  it('answers in order, a bad item by its own problem', async () => {
    const { status, body } = await batch({
      defaults: { subject: 'ann', action: 'read', attributes: { a: 1 } },
      requests: [
        { resource: 'doc' },
        { resource: 5 },
        { resource: 'doc', action: 'write' },
        null,
        { resource: 'doc', policySet: 'nope' },
      ],
    });
    expect(status).toBe(200);
    expect(body.decisions).toHaveLength(5);
    const [allowed, invalid, denied, nothing, unknown] = body.decisions;
    expect(allowed).toMatchObject({ allowed: true, decisionId: expect.any(String) });
    expect(invalid).toMatchObject({ problem: { status: 400, errors: [{ pointer: '/resource' }] } });
    expect(denied).toMatchObject({ allowed: false });
    expect(nothing).toMatchObject({ problem: { status: 400 } });
    expect(unknown).toMatchObject({ problem: { status: 404 } });
  });

  it('records each answer, and defaults are replaced whole', async () => {
    const { body } = await batch({
      defaults: { subject: 'ann', action: 'read', resource: 'doc', attributes: { a: 1, b: 2 } },
      requests: [{}, { attributes: { c: 3 } }],
    });
    const records = await Promise.all(
      body.decisions.map(
        async ({ decisionId }: { decisionId: string }) => (await service.get(`/v1/decisions/${decisionId}`)).body,
      ),
    );
    expect(records.map(({ via, request }) => [via, request.attributes])).toEqual([
      ['batch', { a: 1, b: 2 }],
      ['batch', { c: 3 }],
    ]);
  });

  it('may hold nothing', async () => {
    expect((await batch({ requests: [] })).body).toEqual({ decisions: [] });
  });

  it('may hold 10,000 requests and not 10,001, and keeps the event loop turning', async () => {
    const requests = Array.from({ length: 10_001 }, (_, i) => ({ resource: `doc-${i}` }));
    const defaults = { subject: 'ann', action: 'read' };
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    const accepted = await batch({ defaults, requests: requests.slice(1) });
    clearInterval(ticking);
    expect(accepted.status).toBe(200);
    expect(accepted.body.decisions).toHaveLength(10_000);
    expect(turns).toBeGreaterThan(3);
    const refused = await batch({ defaults, requests });
    expect(refused).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/requests', detail: 'requests must contain no more than 10000 elements' }] },
    });
  });

  it('may be 8 MiB and not a byte more', async () => {
    const body = (bytes: number) => `{"requests":[]${' '.repeat(bytes - 15)}}`;
    expect((await batch(body(8 * 1024 * 1024))).status).toBe(200);
    expect((await batch(body(8 * 1024 * 1024 + 1))).status).toBe(413);
  });

  it.each([
    [{}, '/requests'],
    [{ requests: {} }, '/requests'],
    [{ requests: [], defaults: [] }, '/defaults'],
    [{ requests: [], extra: 1 }, '/extra'],
  ])('%j is refused as a whole', async (body, pointer) => {
    expect(await batch(body)).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
  });

  it('nests attributes of its items as deep as a single request, and not deeper', async () => {
    const nested = (depth: number) => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
    const item = (depth: number) => ({ ...question, subject: { id: 'ann', attributes: nested(depth) } });
    const { body } = await batch({ requests: [item(16)] });
    expect(body.decisions[0]).toMatchObject({ allowed: true });
    const outcomes = (await batch({ requests: [item(17), item(16)] })).body.decisions;
    expect(outcomes).toMatchObject([{ problem: { errors: [{ pointer: '/subject/attributes' }] } }, { allowed: true }]);
    // Deeper than any body may be.
    expect((await batch({ requests: [item(18)] })).status).toBe(400);
  });
});
