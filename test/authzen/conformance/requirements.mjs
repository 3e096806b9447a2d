/**
 * The requirements of the Authorization API 1.0 on a decision point, by section (`C` is the certification scenario). Each
 * check takes a client of the service and throws where the service does not do what the requirement says.
 */
import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { areDecisions, idsOf, isDecision, isError, isJson, isObject, isSearchResult } from './expect.mjs';
import { action, allowed, denied, question, record, rules, searches, unknown, user } from './fixture.mjs';

const knownEndpoints = [
  { path: '/access/v1/evaluation', body: allowed },
  { path: '/access/v1/evaluations', body: { ...allowed, evaluations: [{}] } },
  ...searches.slice(0, 3).map(({ kind, ask }) => ({ path: `/access/v1/search/${kind}`, body: ask })),
];

/** One requirement, checked at every endpoint. */
const everywhere = (section, level, says, check) =>
  knownEndpoints.map(({ path, body }) => ({
    section,
    level,
    says: `${says} (${path})`,
    check: (pdp) => check(pdp, path, body),
  }));

const without = (body, ...path) => {
  const copy = structuredClone(body);
  const parent = path.slice(0, -1).reduce((at, step) => at[step], copy);
  delete parent[path.at(-1)];
  return copy;
};

const withValue = (body, value, ...path) => {
  const copy = structuredClone(body);
  const parent = path.slice(0, -1).reduce((at, step) => at[step], copy);
  parent[path.at(-1)] = value;
  return copy;
};

const entities = [
  {
    section: '5.1.1',
    level: 'MUST',
    says: 'values in properties and context may be any JSON, nested',
    check: async (pdp) => {
      const any = {
        text: 'ä €',
        number: -1.5e3,
        yes: true,
        none: null,
        list: [1, 'a', null, [{}]],
        object: { a: { b: [] } },
      };
      isDecision(
        await pdp.evaluate(question(user('alice', any), action('read', any), record('record-1', { ...any }), any)),
        true,
      );
    },
  },
  {
    section: '5.1',
    level: 'MUST',
    says: 'subjects of two types with one id are two subjects',
    check: async (pdp) =>
      isDecision(await pdp.evaluate(question({ type: 'service', id: 'alice' }, 'read', 'record-1')), false),
  },
  {
    section: '5.2',
    level: 'MUST',
    says: 'resources of two types with one id are two resources',
    check: async (pdp) =>
      isDecision(await pdp.evaluate(question('alice', 'read', { type: 'folder', id: 'record-1' })), false),
  },
  {
    section: '11.5',
    level: 'SHOULD',
    says: 'no member of a response is null',
    check: async (pdp) => {
      for (const ask of [allowed, denied]) {
        const { json } = await pdp.evaluate(ask);
        ok(!JSON.stringify(json).includes(':null'));
      }
    },
  },
];

const transport = [
  ...everywhere('10.1', 'MUST', 'success is 200, application/json, an object', async (pdp, path, body) => {
    const answer = await pdp.post(path, body);
    equal(answer.status, 200);
    isJson(answer);
  }),
  ...everywhere(
    '10.1',
    'MUST',
    'parameters and letter case of the media type do not matter',
    async (pdp, path, body) => {
      for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json;charset=UTF-8']) {
        equal((await pdp.post(path, body, { 'content-type': type })).status, 200, type);
      }
    },
  ),
  ...everywhere('10.1.1', 'MUST', 'any other media type, and none, is 400', async (pdp, path, body) => {
    const types = [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/xml',
      'application/merge-patch+json',
      'text/json',
      undefined,
    ];
    for (const type of types) isError(await pdp.post(path, body, { 'content-type': type }), 400);
    const form = 'subject[type]=user&subject[id]=alice&action[name]=read&resource[type]=record&resource[id]=record-1';
    isError(await pdp.post(path, form, { 'content-type': 'application/x-www-form-urlencoded' }), 400);
  }),
  ...everywhere('10.1.2', 'MUST', 'an empty body, no JSON, and JSON that is no object is 400', async (pdp, path) => {
    for (const body of ['', ' ', '{', 'null', '[]', '"text"', '5', 'true', '{"subject":', 'subject=alice', '[{}]']) {
      isError(await pdp.post(path, body), 400);
    }
  }),
  ...everywhere('10.1.1', 'MUST', 'unknown members are ignored, wherever they are', async (pdp, path, body) => {
    const more = structuredClone(body);
    more.unknown = { a: [1] };
    for (const key of ['subject', 'action', 'resource']) if (more[key]) more[key].unknown = 'x';
    more.options = { unknown: true };
    more.page = { unknown: 5 };
    if (more.evaluations) more.evaluations = [{ unknown: 1, subject: { ...body.subject, unknown: null } }];
    const plain = await pdp.post(path, body);
    const answer = await pdp.post(path, more);
    equal(answer.status, 200, answer.text);
    equal(answer.json.decision, plain.json.decision);
    equal(answer.json.evaluations?.length, plain.json.evaluations?.length);
    deepEqual(answer.json.results, plain.json.results);
  }),
  ...everywhere('10.1.1', 'MUST', 'the order of members says nothing', async (pdp, path, body) => {
    const turned = (value) =>
      isObject(value)
        ? Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([key, each]) => [key, turned(each)]),
          )
        : value;
    const plain = await pdp.post(path, body);
    const answer = await pdp.post(path, turned(body));
    equal(answer.status, 200);
    equal(answer.json.decision, plain.json.decision);
    deepEqual(answer.json.results, plain.json.results);
  }),
  ...everywhere('10.1.3', 'MUST', 'X-Request-ID comes back as it was', async (pdp, path, body) => {
    for (const id of ['bfe9eb29-ab87-4ca3-be83-a1d5d8305716', 'x', 'any string: {"a"} / Å 猫', '-'.repeat(200)]) {
      const sent = Buffer.from(id).toString('latin1');
      equal((await pdp.post(path, body, { 'x-request-id': sent })).headers['x-request-id'], sent);
    }
  }),
  ...everywhere('10.1.3', 'MUST', 'X-Request-ID comes back with errors too', async (pdp, path, body) => {
    const headers = { 'x-request-id': 'error-1' };
    for (const answer of [await pdp.post(path, '{', headers), await pdp.post(path, {}, headers)]) {
      equal(answer.status, 400);
      equal(answer.headers['x-request-id'], 'error-1');
    }
    const wrongType = await pdp.post(path, body, { ...headers, 'content-type': 'text/plain' });
    equal(wrongType.headers['x-request-id'], 'error-1');
  }),
  ...everywhere('10.1.3', 'MUST NOT', 'a request without X-Request-ID does not fail', async (pdp, path, body) => {
    equal((await pdp.post(path, body)).status, 200);
  }),
  ...everywhere('11.5', 'SHOULD', 'duplicate member names are refused', async (pdp, path) => {
    const twice =
      '{"subject":{"type":"user","id":"alice","id":"bob"},"action":{"name":"read"},"resource":{"type":"record","id":"record-1"}}';
    isError(await pdp.post(path, twice), 400);
  }),
  ...everywhere('11.5', 'SHOULD', 'text that is not UTF-8, and lone surrogates, are refused', async (pdp, path) => {
    isError(await pdp.post(path, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 400);
    isError(await pdp.post(path, '{"subject":{"type":"user","id":"\\ud800"}}'), 400);
  }),
  ...everywhere(
    '11.7',
    'SHOULD',
    'deep nesting and oversized bodies are refused, never a 500',
    async (pdp, path, body) => {
      const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
      isError(await pdp.post(path, deep), 400);
      isError(await pdp.post(path, `{"context":{"a":${deep}}}`), 400);
      const large = await pdp
        .post(path, { ...body, context: { text: 'x'.repeat(9 * 1024 * 1024) } })
        .catch(() => undefined);
      ok(large === undefined || (large.status >= 400 && large.status < 500), 'a large body is refused');
    },
  ),
  {
    section: '10.1.2',
    level: 'MUST',
    says: 'a denial is a success, never 403 or 404',
    check: async (pdp) => isDecision(await pdp.evaluate(denied), false),
  },
  {
    section: 'C 2.6',
    level: 'MUST',
    says: 'the same request gets the same answer',
    check: async (pdp) => {
      for (const { ask, decision } of rules) for (let i = 0; i < 3; i++) isDecision(await pdp.evaluate(ask), decision);
    },
  },
];

const evaluation = [
  ...rules.map(({ rule, ask, decision }) => ({
    section: 'C 1.4',
    level: 'MUST',
    says: `rule ${rule}: ${ask.subject.id} ${ask.action.name} ${ask.resource.id} is ${decision}`,
    check: async (pdp) => {
      isDecision(await pdp.evaluate(ask), decision);
      isDecision(await pdp.evaluate({ ...ask, context: { time: '2026-01-01T00:00:00Z', ip: '192.0.2.1' } }), decision);
      const extra = structuredClone(ask);
      for (const key of ['subject', 'action', 'resource'])
        extra[key].properties = { ...extra[key].properties, unused: [1] };
      isDecision(await pdp.evaluate(extra), decision);
    },
  })),
  ...unknown.map(({ what, ask }) => ({
    section: '7.2.1',
    level: 'MUST',
    says: `${what} that is unknown is an ordinary question, and denied`,
    check: async (pdp) => isDecision(await pdp.evaluate(ask), false),
  })),
  ...[
    ['subject'],
    ['action'],
    ['resource'],
    ['subject', 'type'],
    ['subject', 'id'],
    ['action', 'name'],
    ['resource', 'type'],
    ['resource', 'id'],
  ].map((path) => ({
    section: '6.1',
    level: 'MUST',
    says: `without ${path.join('.')} it is 400`,
    check: async (pdp) => isError(await pdp.evaluate(without(allowed, ...path)), 400),
  })),
  ...[
    ...['subject', 'action', 'resource', 'context'].map((key) => [[key], ['text', 5, true, null, [], [{}]]]),
    ...[
      ['subject', 'type'],
      ['subject', 'id'],
      ['action', 'name'],
      ['resource', 'type'],
      ['resource', 'id'],
    ].map((path) => [path, [5, true, null, [], {}]]),
    ...['subject', 'action', 'resource'].map((key) => [
      [key, 'properties'],
      ['text', 5, false, null, []],
    ]),
  ].map(([path, values]) => ({
    section: '10.1.2',
    level: 'MUST',
    says: `${path.join('.')} of a wrong type is 400`,
    check: async (pdp) => {
      for (const value of values) isError(await pdp.evaluate(withValue(allowed, value, ...path)), 400);
    },
  })),
];

const evaluations = [
  {
    section: '7.1',
    level: 'MUST',
    says: 'without evaluations, and with an empty array, it is an Access Evaluation',
    check: async (pdp) => {
      for (const more of [{}, { evaluations: [] }]) {
        isDecision(await pdp.evaluateAll({ ...allowed, ...more }), true);
        isDecision(await pdp.evaluateAll({ ...denied, ...more }), false);
        for (const key of ['subject', 'action', 'resource']) {
          isError(await pdp.evaluateAll({ ...without(allowed, key), ...more }), 400);
        }
        ok(!('evaluations' in (await pdp.evaluateAll({ ...allowed, ...more })).json));
      }
    },
  },
  {
    section: '7.2',
    level: 'MUST',
    says: 'there is one decision for each item, in their order',
    check: async (pdp) => {
      const asked = [...rules, ...rules].map(({ ask }) => ask);
      areDecisions(
        await pdp.evaluateAll({ evaluations: asked }),
        [...rules, ...rules].map(({ decision }) => decision),
      );
    },
  },
  {
    section: '7.2',
    level: 'SHOULD NOT',
    says: 'there is no decision at the top beside evaluations',
    check: async (pdp) => ok(!('decision' in (await pdp.evaluateAll({ ...allowed, evaluations: [{}] })).json)),
  },
  {
    section: '7.1.1',
    level: 'MUST',
    says: 'each of the four keys at the top is a default',
    check: async (pdp) => {
      const { subject, action: does, resource } = allowed;
      areDecisions(await pdp.evaluateAll({ subject, evaluations: [{ action: does, resource }] }), [true]);
      areDecisions(await pdp.evaluateAll({ action: does, evaluations: [{ subject, resource }] }), [true]);
      areDecisions(await pdp.evaluateAll({ resource, evaluations: [{ subject, action: does }] }), [true]);
      areDecisions(await pdp.evaluateAll({ ...allowed, context: {}, evaluations: [{}, {}] }), [true, true]);
      areDecisions(
        await pdp.evaluateAll({
          ...allowed,
          evaluations: [{}, { action: action('write') }, { subject: user('bob'), action: action('write') }],
        }),
        [true, true, false],
      );
    },
  },
  {
    section: '7.1.1',
    level: 'MUST',
    says: 'a key of an item replaces the default as a whole',
    check: async (pdp) => {
      const body = {
        subject: user('alice'),
        action: action('write'),
        resource: record('record-1', { status: 'archived' }),
        evaluations: [
          {},
          { resource: record('record-1') },
          { resource: { type: 'record' } },
          { resource: { id: 'record-1' } },
        ],
      };
      areDecisions(await pdp.evaluateAll(body), [false, true, false, false]);
    },
  },
  {
    section: '7.2.1',
    level: 'MUST',
    says: 'an item that cannot be evaluated is false, and the others stand',
    check: async (pdp) => {
      const bad = [
        {},
        without(allowed, 'subject'),
        without(allowed, 'action', 'name'),
        withValue(allowed, 5, 'resource'),
        withValue(allowed, [], 'context'),
        5,
        null,
        'text',
        [],
      ];
      for (const item of bad) {
        const answer = await pdp.evaluateAll({ evaluations: [allowed, item, allowed] });
        areDecisions(answer, [true, false, true]);
      }
    },
  },
  {
    section: '7.1.1',
    level: 'MUST',
    says: 'an incomplete default harms only what inherits it',
    check: async (pdp) => {
      const body = { ...allowed, subject: { type: 'user' }, evaluations: [{ subject: user('alice') }, {}] };
      areDecisions(await pdp.evaluateAll(body), [true, false]);
    },
  },
  ...[
    ['evaluations', ['text', 5, true, null, {}]],
    ['options', ['text', 5, true, null, []]],
    ...['subject', 'action', 'resource', 'context'].map((key) => [key, ['text', 5, null, []]]),
  ].map(([key, values]) => ({
    section: '7.2.1',
    level: 'MUST',
    says: `${key} of a wrong type is 400 for the whole`,
    check: async (pdp) => {
      for (const value of values) {
        isError(await pdp.evaluateAll({ ...allowed, evaluations: [{}], [key]: value }), 400);
      }
    },
  })),
  ...[
    ['execute_all', [true, false, true, false]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ].map(([semantic, decisions]) => ({
    section: '7.1.2.1',
    level: 'MUST',
    says: `${semantic} answers what it evaluated and no more`,
    check: async (pdp) => {
      const body = { evaluations: [allowed, denied, allowed, denied], options: { evaluations_semantic: semantic } };
      areDecisions(await pdp.evaluateAll(body), decisions);
    },
  })),
  {
    section: '7.1.2.1',
    level: 'MUST',
    says: 'without options all are evaluated',
    check: async (pdp) => {
      areDecisions(await pdp.evaluateAll({ evaluations: [denied, allowed] }), [false, true]);
      areDecisions(await pdp.evaluateAll({ evaluations: [denied, allowed], options: {} }), [false, true]);
    },
  },
  {
    section: '7.1.2.1',
    level: 'MUST',
    says: 'a failure stops deny_on_first_deny and is passed over by permit_on_first_permit',
    check: async (pdp) => {
      const evaluations = [{}, allowed, denied];
      areDecisions(await pdp.evaluateAll({ evaluations, options: { evaluations_semantic: 'deny_on_first_deny' } }), [
        false,
      ]);
      areDecisions(
        await pdp.evaluateAll({ evaluations, options: { evaluations_semantic: 'permit_on_first_permit' } }),
        [false, true],
      );
    },
  },
  {
    section: '7.1.2.1',
    level: 'MUST',
    says: 'where nothing cuts it short all items are answered',
    check: async (pdp) => {
      const ask = (each, semantic) =>
        pdp.evaluateAll({ evaluations: [each, each, each], options: { evaluations_semantic: semantic } });
      areDecisions(await ask(allowed, 'deny_on_first_deny'), [true, true, true]);
      areDecisions(await ask(denied, 'permit_on_first_permit'), [false, false, false]);
    },
  },
  {
    section: '7.1.2',
    level: 'MUST',
    says: 'a semantic that there is not is 400',
    check: async (pdp) => {
      for (const evaluations_semantic of ['all', '', 'EXECUTE_ALL', 5, null, []]) {
        isError(await pdp.evaluateAll({ ...allowed, evaluations: [{}], options: { evaluations_semantic } }), 400);
      }
    },
  },
];

const search = [
  ...searches.map(({ name, kind, ask, includes }) => ({
    section: 'C 1.5',
    level: 'MUST',
    says: `${name}: the ${kind}s found include ${includes.join(' and ')}`,
    check: async (pdp) => {
      const answer = await pdp.search(kind, ask);
      isSearchResult(answer, kind, ask[kind]?.type);
      for (const id of includes) ok(idsOf(answer).includes(id), `${id} is among ${idsOf(answer)}`);
    },
  })),
  ...searches.map(({ name, kind, ask }) => ({
    section: '8.1',
    level: 'SHOULD',
    says: `${name}: every result is permitted when it is evaluated`,
    check: async (pdp) => {
      const { json } = await pdp.search(kind, ask);
      for (const result of json.results) isDecision(await pdp.evaluate({ ...ask, [kind]: result }), true);
    },
  })),
  ...searches.slice(0, 2).map(({ kind, ask }) => ({
    section: kind === 'subject' ? '8.4' : '8.5',
    level: 'MUST',
    says: `the id of the ${kind} searched for is ignored`,
    check: async (pdp) => {
      const plain = await pdp.search(kind, ask);
      for (const id of ['alice', 'nobody', 'record-2', '']) {
        const answer = await pdp.search(kind, withValue(ask, id, kind, 'id'));
        deepEqual(answer.json.results, plain.json.results);
      }
    },
  })),
  ...searches.slice(0, 3).flatMap(({ kind, ask }) =>
    ['subject', 'action', 'resource']
      .filter((key) => key in ask)
      .flatMap((key) => [[key], ...Object.keys(ask[key]).map((member) => [key, member])])
      .map((path) => ({
        section: { subject: '8.4', resource: '8.5', action: '8.6' }[kind],
        level: 'MUST',
        says: `${kind} search without ${path.join('.')} is 400`,
        check: async (pdp) => {
          isError(await pdp.search(kind, without(ask, ...path)), 400);
          for (const value of [5, null, [], true]) isError(await pdp.search(kind, withValue(ask, value, ...path)), 400);
        },
      })),
  ),
  {
    section: '8.6',
    level: 'MUST',
    says: 'an action that comes with an action search is ignored',
    check: async (pdp) => {
      const { ask } = searches[2];
      const plain = await pdp.search('action', ask);
      for (const extra of [action('write'), 5, null]) {
        deepEqual((await pdp.search('action', { ...ask, action: extra })).json.results, plain.json.results);
      }
    },
  },
  {
    section: 'C 4.7',
    level: 'MUST',
    says: 'a body that is right for one search is wrong for another',
    check: async (pdp) => {
      isError(await pdp.search('resource', searches[0].ask), 400);
      isError(await pdp.search('subject', searches[1].ask), 400);
      isError(await pdp.search('subject', searches[2].ask), 400);
    },
  },
  ...[
    ['subject', { subject: { type: 'robot' }, action: action('read'), resource: record('record-1') }],
    ['subject', { subject: { type: 'user' }, action: action('explode'), resource: record('record-1') }],
    ['subject', { subject: { type: 'user' }, action: action('read'), resource: record('record-99') }],
    ['resource', { subject: user('mallory'), action: action('read'), resource: { type: 'record' } }],
    ['resource', { subject: user('alice'), action: action('explode'), resource: { type: 'record' } }],
    ['resource', { subject: user('alice'), action: action('read'), resource: { type: 'door' } }],
    ['action', { subject: user('mallory'), resource: record('record-1') }],
    ['action', { subject: user('alice'), resource: { type: 'door', id: 'record-1' } }],
    ['action', { subject: { type: 'robot', id: 'alice' }, resource: record('record-1') }],
  ].map(([kind, ask]) => ({
    section: 'C 4.6',
    level: 'MUST',
    says: `nothing found is 200 and an empty list (${kind}: ${JSON.stringify(ask)})`,
    check: async (pdp) => {
      const answer = await pdp.search(kind, ask);
      isSearchResult(answer, kind, ask[kind]?.type);
      deepEqual(answer.json.results, []);
    },
  })),
  {
    section: '8',
    level: 'MUST',
    says: 'context is taken, and refused where it is no object',
    check: async (pdp) => {
      for (const { kind, ask } of searches.slice(0, 3)) {
        isSearchResult(await pdp.search(kind, { ...ask, context: { ip: '192.0.2.1' } }), kind, ask[kind]?.type);
        isError(await pdp.search(kind, { ...ask, context: [] }), 400);
      }
    },
  },
  {
    section: '8.2',
    level: 'MUST',
    says: 'pages of one result are the whole, in the same order, and end with an empty token',
    check: async (pdp) => {
      for (const { kind, ask } of searches) {
        const whole = await pdp.search(kind, ask);
        deepEqual(await walk(pdp, kind, ask, { limit: 1 }), idsOf(whole));
      }
    },
  },
  {
    section: '8.2.2',
    level: 'MUST',
    says: 'what is not the whole has a token, and the last page an empty one',
    check: async (pdp) => {
      const { kind, ask } = searches[0];
      const first = await pdp.search(kind, { ...ask, page: { limit: 1 } });
      equal(first.json.results.length, 1);
      notEqual(first.json.page.next_token, '');
      const all = await pdp.search(kind, { ...ask, page: { limit: 1000 } });
      equal(all.json.page?.next_token ?? '', '');
    },
  },
  {
    section: '8.2.1',
    level: 'MUST',
    says: 'a limit of 0 is legal',
    check: async (pdp) => {
      const { kind, ask } = searches[0];
      const answer = await pdp.search(kind, { ...ask, page: { limit: 0 } });
      isSearchResult(answer, kind, 'user');
      deepEqual(answer.json.results, []);
      notEqual(answer.json.page.next_token, '');
    },
  },
  {
    section: '8.2.3',
    level: 'SHOULD',
    says: 'a token is refused when anything but the page has changed, another limit included',
    check: async (pdp) => {
      const { kind, ask } = searches[0];
      const { json } = await pdp.search(kind, { ...ask, page: { limit: 1 } });
      const token = json.page.next_token;
      isError(await pdp.search(kind, { ...ask, action: action('write'), page: { token } }), 400);
      isError(await pdp.search(kind, { ...ask, context: { a: 1 }, page: { token } }), 400);
      isError(await pdp.search(kind, { ...ask, page: { token, limit: 2 } }), 400);
      isSearchResult(await pdp.search(kind, { ...ask, page: { token, limit: 1 } }), kind, 'user');
      isError(await pdp.search('resource', { ...searches[1].ask, page: { token } }), 400);
    },
  },
  {
    section: '8.2.1',
    level: 'MUST',
    says: 'an invalid limit and a made-up token are 400',
    check: async (pdp) => {
      for (const { kind, ask } of searches.slice(0, 3)) {
        for (const limit of [-1, 1.5, '5', true, null, [], {}])
          isError(await pdp.search(kind, { ...ask, page: { limit } }), 400);
        for (const token of ['made-up', 'e30', 'W10', 5, null, {}])
          isError(await pdp.search(kind, { ...ask, page: { token } }), 400);
        for (const page of ['x', 5, null, []]) isError(await pdp.search(kind, { ...ask, page }), 400);
      }
    },
  },
];

/** Follows the tokens; leaves the limit out after the first page, which is legal (8.2.3). */
async function walk(pdp, kind, ask, { limit }) {
  const ids = [];
  let page = { limit };
  for (let pages = 0; pages < 100; pages++) {
    const answer = await pdp.search(kind, { ...ask, page });
    isSearchResult(answer, kind, ask[kind]?.type);
    ok(answer.json.results.length <= limit);
    ids.push(...idsOf(answer));
    const { next_token: token } = answer.json.page;
    if (token === '') return ids;
    page = { token };
  }
  throw new Error('the pages do not end');
}

const metadata = [
  {
    section: '9.2.2',
    level: 'MUST',
    says: 'metadata is 200, application/json, without empty values',
    check: async (pdp) => {
      const answer = await pdp.get(pdp.metadataUrl);
      equal(answer.status, 200);
      isJson(answer);
      for (const [name, value] of Object.entries(answer.json)) {
        ok(value !== null && value !== '' && !(Array.isArray(value) && value.length === 0), `${name} has a value`);
      }
    },
  },
  {
    section: '9.2.3',
    level: 'MUST',
    says: 'policy_decision_point is the base URL, to the character, whatever the Host header says',
    check: async (pdp) => {
      equal((await pdp.get(pdp.metadataUrl)).json.policy_decision_point, pdp.baseUrl);
      equal((await pdp.get(pdp.metadataUrl, { host: 'evil.example' })).json.policy_decision_point, pdp.baseUrl);
    },
  },
  {
    section: '9.1.1',
    level: 'MUST',
    says: 'endpoints are absolute URLs that answer',
    check: async (pdp) => {
      const { json } = await pdp.get(pdp.metadataUrl);
      ok(typeof json.access_evaluation_endpoint === 'string');
      const bodies = {
        access_evaluation_endpoint: allowed,
        access_evaluations_endpoint: { evaluations: [allowed] },
        search_subject_endpoint: searches[0].ask,
        search_resource_endpoint: searches[1].ask,
        search_action_endpoint: searches[2].ask,
      };
      for (const [name, body] of Object.entries(bodies)) {
        if (!(name in json)) continue;
        match(json[name], /^https?:\/\//);
        const headers = { 'content-type': 'application/json' };
        equal((await pdp.send('POST', json[name], JSON.stringify(body), headers)).status, 200, name);
      }
    },
  },
  {
    section: '9.1.1',
    level: 'MUST',
    says: 'the base URL is https, without query or fragment',
    skip: (pdp) => pdp.baseUrl.startsWith('http://') && 'the service is asked over plain HTTP',
    check: async (pdp) => {
      const { json } = await pdp.get(pdp.metadataUrl);
      match(json.policy_decision_point, /^https:\/\/[^?#]+$/);
    },
  },
  {
    section: '11.9',
    level: 'SHOULD',
    says: 'metadata says how long it may be cached',
    check: async (pdp) => match((await pdp.get(pdp.metadataUrl)).headers['cache-control'] ?? '', /max-age=\d+/),
  },
  {
    section: '9.1.3',
    level: 'MUST',
    says: 'signed_metadata is a JWS with an issuer and the metadata as claims',
    skip: async (pdp) => !('signed_metadata' in (await pdp.get(pdp.metadataUrl)).json) && 'metadata is not signed',
    check: async (pdp) => {
      const { json } = await pdp.get(pdp.metadataUrl);
      const { createLocalJWKSet, jwtVerify } = await import('jose');
      const keys = await pdp.get(json.jwks_uri);
      const { payload } = await jwtVerify(json.signed_metadata, createLocalJWKSet(keys.json));
      ok(typeof payload.iss === 'string');
      ok(!('signed_metadata' in payload));
      for (const [name, value] of Object.entries(json)) {
        if (name !== 'signed_metadata') deepEqual(payload[name], value);
      }
    },
  },
];

const callers = [
  ...everywhere(
    '11.3',
    'MUST',
    'credentials that are missing, of the wrong scheme or invalid are 401',
    async (pdp, path, body) => {
      const wrong = [undefined, 'Bearer wrong', 'Bearer ', 'Basic d3Jvbmc6d3Jvbmc=', 'Negotiate abc', 'Bearer a.b.c'];
      for (const authorization of wrong) {
        const answer = await pdp.post(path, body, { authorization, 'x-request-id': 'stranger' });
        isError(answer, 401);
        match(answer.headers['www-authenticate'] ?? '', /Bearer realm=/);
        equal(answer.headers['x-request-id'], 'stranger');
      }
    },
  ),
  {
    section: '9',
    level: 'MAY',
    says: 'metadata is read without credentials',
    skip: (pdp) => new URL(pdp.baseUrl).pathname !== '/' && 'the base is below /sets',
    check: async (pdp) => equal((await pdp.get(pdp.metadataUrl, { authorization: undefined })).status, 200),
  },
].map((requirement) => ({
  ...requirement,
  skip: (pdp) => (pdp.options.token === undefined ? 'no --token was given' : requirement.skip?.(pdp)),
}));

export const levels = { entities, transport, evaluation, evaluations, search, metadata, callers };
