import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json, JsonObject } from '../../../src/core/request.js';
import { type PolicyFiles, type Service, startService } from '../../http/service.js';
import { audience, type Issuer, startIssuer } from '../../security/world.js';

const server = 'https://mcp.example.com';
const model = `[request_definition]
r = sub, obj, act, env
[policy_definition]
p = sub, obj, act, cond, eft, reason
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act) && eval(p.cond)
`;
const rules = `p, people, mcp_server:*, *, true, allow,
p, people, tool:*, tools/call, true, allow,
p, people, tool:delete_customer, tools/call, true, deny, Customers are deleted by operations
p, people, customer:*, get_customer, true, allow,
p, people, prompt:*, *, true, allow,
p, people, resource:file:///public/*, *, true, allow,
p, people, task:*, *, true, allow,
p, agents, *, *, true, allow,
p, agents, tool:transfer, tools/call, has(r.env.arguments.amount) && r.env.arguments.amount > 1000, deny, Not by agents
g, identity:alice, people
g, agent:good-agent, agents
`;
const manifest = (more = '') =>
  `request: { sub: "\${subject.type}:\${subject.id}", obj: "\${resource.type}:\${resource.id}" }\n${more}`;

const files: PolicyFiles = {
  'default/model.conf': model,
  'default/rules.csv': rules,
  'default/policy-set.yaml': manifest('decisionLog: { mask: [/attributes/arguments/card] }\n'),
  'on-behalf/model.conf': model,
  'on-behalf/rules.csv': rules,
  'on-behalf/policy-set.yaml': manifest(`gateway: { mcp: { server: "${server}", subject: user, agent: sub } }\n`),
  'people-only/model.conf': model,
  'people-only/rules.csv': rules,
  'people-only/policy-set.yaml': manifest('gateway: { mcp: { agent: none } }\n'),
};

let service: Service;
let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService(files, {
    jwtIssuer: issuer.url,
    jwtAudience: audience,
    gatewayJwtAudience: server,
    drafts: 'mcp',
  });
});
afterAll(async () => {
  await service.stop();
  await issuer.stop();
});

function tokenOf(claims: Record<string, unknown> = {}): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + 60;
  return issuer.sign({ iss: issuer.url, aud: server, exp, sub: 'alice', client_id: 'good-agent', ...claims });
}

const notification = (method: string, params?: JsonObject) => ({
  jsonrpc: '2.0',
  method,
  ...(params !== undefined && { params }),
});

const message = (method: string, params?: JsonObject, id: Json = 7) => ({ ...notification(method, params), id });

async function ask(body: Record<string, unknown>, set = '') {
  const answer = await service.post(`${set}/v1/gateway/mcp`, { token: await tokenOf(), ...body });
  return { ...answer, json: answer.body as unknown };
}

const denied = (code: number, text: unknown, id: Json = 7) => ({
  allowed: false,
  error: { jsonrpc: '2.0', id, error: { code, message: text } },
});

describe('a message of MCP', () => {
  it('goes on if the user and the agent may, and both are recorded', async () => {
    const args = { id: 'c-1', card: '4111' };
    const { status, json, headers } = await ask({ message: message('tools/call', { name: 'find', arguments: args }) });
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(json).toMatchObject({ allowed: true, policySet: 'default', obligations: [] });
    const { decisionIds } = json as { decisionIds: string[] };
    const records = await Promise.all(decisionIds.map((id) => service.log.find(id)));
    const asked = { action: { name: 'tools/call' }, resource: { type: 'tool', id: 'find' } };
    expect(records).toMatchObject([
      { via: 'mcp', request: { subject: { type: 'identity', id: 'alice' }, ...asked } },
      { via: 'mcp', request: { subject: { type: 'agent', id: 'good-agent' }, ...asked } },
    ]);
    for (const record of records) {
      expect(record?.request.attributes).toMatchObject({ agent: 'good-agent', arguments: { id: 'c-1' } });
      expect(JSON.stringify(record)).not.toContain('4111');
    }
  });

  it('is refused with the JSON-RPC error that the agent gets, and the reason of the rule', async () => {
    const { json } = await ask({ message: message('tools/call', { name: 'delete_customer' }, 'a1') });
    expect(json).toMatchObject(denied(-32001, 'Customers are deleted by operations', 'a1'));
    expect((json as { decisionIds: string[] }).decisionIds).toHaveLength(1);
  });

  it.each([
    ['another user', { sub: 'eve' }],
    ['another agent', { client_id: 'bad-agent' }],
    ['no agent', { client_id: undefined }],
  ])('is refused for %s', async (_, claims) => {
    const { json } = await ask({ token: await tokenOf(claims), message: message('tools/call', { name: 'find' }) });
    expect(json).toMatchObject(denied(-32001, expect.any(String)));
  });

  it('is decided by its arguments', async () => {
    const call = (amount: number) =>
      ask({ message: message('tools/call', { name: 'transfer', arguments: { amount } }) });
    expect((await call(1_000)).json).toMatchObject({ allowed: true });
    expect((await call(1_001)).json).toMatchObject(denied(-32001, 'Not by agents'));
  });

  it.each([
    ['initialize', { protocolVersion: '2025-11-25' }, { protocol_version: '2025-11-25' }],
    ['tools/list', undefined, {}],
    ['logging/setLevel', { level: 'debug' }, { level: 'debug' }],
  ])('is about the server for %s', async (method, params, attributes) => {
    const { json } = await ask({ message: message(method, params) });
    expect(json).toMatchObject({ allowed: true });
    const record = await service.log.find((json as { decisionIds: string[] }).decisionIds[0]!);
    expect(record?.request).toMatchObject({
      action: { name: method },
      resource: { type: 'mcp_server', id: server },
      attributes,
    });
  });

  it.each<[string, JsonObject, string, string]>([
    ['resources/read', { uri: 'file:///public/a' }, 'resource', 'file:///public/a'],
    ['resources/subscribe', { uri: 'file:///public/a' }, 'resource', 'file:///public/a'],
    ['prompts/get', { name: 'greet' }, 'prompt', 'greet'],
    ['completion/complete', { ref: { type: 'ref/prompt', name: 'greet' } }, 'prompt', 'greet'],
    ['completion/complete', { ref: { type: 'ref/resource', uri: 'file:///public/b' } }, 'resource', 'file:///public/b'],
    ['tasks/get', { taskId: 't1' }, 'task', 't1'],
  ])('of %s is about %j', async (method, params, type, id) => {
    const { json } = await ask({ message: message(method, params) });
    expect(json).toMatchObject({ allowed: true });
    const record = await service.log.find((json as { decisionIds: string[] }).decisionIds[0]!);
    expect(record?.request).toMatchObject({ action: { name: method }, resource: { type, id } });
  });

  it.each([
    'sampling/createMessage',
    'resources/templates/list',
    'Tools/Call',
    'toString',
    '',
    'notifications/initialized',
  ])('that nobody knows is denied: %j', async (method) => {
    expect((await ask({ message: message(method) })).json).toEqual(denied(-32001, expect.stringMatching(/not known/)));
  });

  it.each([message('ping'), notification('ping'), notification('notifications/cancelled', {})])(
    'passes without a decision: $method',
    async (passing) => {
      expect((await ask({ message: passing, token: undefined })).json).toEqual({ allowed: true, passed: true });
    },
  );

  it('is decided where it has no id, too: a call is no notification', async () => {
    const call = notification('tools/call', { name: 'delete_customer' });
    expect((await ask({ message: call })).json).toMatchObject(
      denied(-32001, expect.any(String), null as unknown as Json),
    );
  });

  it('needs a token that is valid for the server', async () => {
    const call = message('tools/call', { name: 'find' });
    for (const token of [
      undefined,
      'x',
      await tokenOf({ aud: 'https://other.example.com' }),
      await tokenOf({ exp: 1 }),
    ]) {
      const { status, json } = await ask({ token, message: call });
      expect(status).toBe(200);
      expect(json).toEqual({ allowed: false, status: 401, challenge: expect.stringContaining('invalid_token') });
    }
  });

  it.each<[string, JsonObject | undefined, RegExp]>([
    ['tools/call', undefined, /params\.name is missing/],
    ['tools/call', { name: 7 }, /params\.name is no text/],
    ['tools/call', { name: '' }, /resource\.id is empty/],
    ['tools/call', { name: 'a\u0007' }, /control character/],
    ['resources/read', {}, /params\.uri is missing/],
    ['completion/complete', {}, /params\.ref/],
  ])('of %s with %j does not fit its mapping', async (method, params, text) => {
    const { status, json } = await ask({ message: message(method, params) });
    expect(status).toBe(200);
    expect(json).toEqual(denied(-32602, expect.stringMatching(text)));
  });

  it('of several audiences needs the name of the server', async () => {
    const token = await tokenOf({ aud: [server, 'other'] });
    expect((await ask({ token, message: message('tools/list') })).json).toEqual(
      denied(-32602, expect.stringMatching(/gateway\.mcp\.server/)),
    );
    const named = await tokenOf({ aud: [server, 'other'], user: 'alice', sub: 'good-agent' });
    expect((await ask({ token: named, message: message('tools/list') }, '/sets/on-behalf')).json).toMatchObject({
      allowed: true,
    });
  });

  it('names the user by another claim where the token is that of the agent', async () => {
    const call = message('tools/call', { name: 'find' });
    const ofAgent = await tokenOf({ sub: 'good-agent', user: 'alice', client_id: undefined });
    expect((await ask({ token: ofAgent, message: call }, '/sets/on-behalf')).json).toMatchObject({ allowed: true });
    expect((await ask({ message: call }, '/sets/on-behalf')).json).toMatchObject({ status: 401 });
    const alone = await tokenOf({ client_id: undefined });
    expect((await ask({ token: alone, message: call }, '/sets/people-only')).json).toMatchObject({ allowed: true });
  });

  it.each<[string, Record<string, unknown>]>([
    ['no message', {}],
    ['no method', { message: { jsonrpc: '2.0', id: 1 } }],
    ['another protocol', { message: { jsonrpc: '1.0', id: 1, method: 'ping' } }],
    ['an object as its id', { message: { jsonrpc: '2.0', id: {}, method: 'ping' } }],
    ['a list of parameters', { message: { jsonrpc: '2.0', id: 1, method: 'ping', params: [] } }],
    ['a batch', { message: [message('ping')] }],
    ['the definition of another tool', { message: message('tools/call', { name: 'a' }), tool: { name: 'b' } }],
    ['another member', { message: message('ping'), user: 'bob' }],
  ])('is not valid with %s', async (_, body) => {
    expect((await ask(body)).status).toBe(400);
  });

  it('is there while the draft is on', async () => {
    const plain = await startService(files, {});
    try {
      expect((await plain.post('/v1/gateway/mcp', { message: message('ping') })).status).toBe(404);
    } finally {
      await plain.stop();
    }
  });
});

describe('a tool with a declared mapping', () => {
  const tool = (mapping: Json, name = 'get_customer') => ({
    name,
    inputSchema: { type: 'object', 'x-authzen-mapping': mapping },
  });
  const evaluation = { action: { name: 'get_customer' }, resource: { type: 'customer', id: '$params.arguments.id' } };
  const call = message('tools/call', { name: 'get_customer', arguments: { id: 'c-1' } });

  it('is asked about as the mapping says, for the user and the agent', async () => {
    const context = { agent: 'another', case: 'x' };
    const { json } = await ask({ message: call, tool: tool({ evaluation: { ...evaluation, context } }) });
    expect(json).toMatchObject({ allowed: true });
    const records = await Promise.all(
      (json as { decisionIds: string[] }).decisionIds.map((id) => service.log.find(id)),
    );
    expect(records.map((record) => record?.request)).toMatchObject([
      {
        subject: { id: 'alice' },
        resource: { type: 'customer', id: 'c-1' },
        attributes: { agent: 'good-agent', case: 'x' },
      },
      { subject: { type: 'agent', id: 'good-agent' }, resource: { type: 'customer', id: 'c-1' } },
    ]);
  });

  it('must be allowed in all its evaluations', async () => {
    const evaluations = [evaluation, { ...evaluation, action: { name: 'erase' } }];
    const { json } = await ask({ message: call, tool: tool({ evaluations: { evaluations } }) });
    expect(json).toMatchObject(denied(-32001, expect.any(String)));
    expect((json as { decisionIds: string[] }).decisionIds).toHaveLength(3);
  });

  it.each<[string, Json]>([
    ['says who the user is', { evaluation: { ...evaluation, subject: { id: 'bob' } } }],
    ['is malformed', { evaluation: 7 }],
    ['needs what is not there', { evaluation: { ...evaluation, context: { a: '$params.arguments.region' } } }],
  ])('is refused where it %s', async (_, mapping) => {
    expect((await ask({ message: call, tool: tool(mapping) })).json).toEqual(
      denied(-32602, expect.stringMatching(/^COAZ/)),
    );
  });
});

describe('a list', () => {
  const tools = ['find', 'delete_customer', 'transfer'].map((name) => ({ name, inputSchema: { type: 'object' } }));
  const filtered = async (method: string, result: JsonObject, claims?: Record<string, unknown>) =>
    (await ask({ token: await tokenOf(claims), message: message(method), result })).json as {
      allowed: boolean;
      decisionIds: string[];
      result: JsonObject;
    };

  it('comes back with what both may use, and is one record', async () => {
    const answer = await filtered('tools/list', { tools, nextCursor: 'n', _meta: { a: 1 } });
    expect(answer).toMatchObject({ allowed: true, result: { nextCursor: 'n', _meta: { a: 1 } } });
    expect((answer.result.tools as { name: string }[]).map(({ name }) => name)).toEqual(['find', 'transfer']);
    expect(answer.decisionIds).toHaveLength(1);
    expect(await service.log.find(answer.decisionIds[0]!)).toMatchObject({
      decision: 'allow',
      request: { subject: { id: 'alice' }, action: { name: 'tools/list' }, resource: { id: server } },
      search: { kind: 'resource', examined: 3, complete: true, results: ['find', 'transfer'] },
    });
  });

  it('is empty of resources that may not be read, and of what is no item', async () => {
    const resources = [
      { uri: 'file:///public/a' },
      { uri: 'file:///secret' },
      { uri: 7 },
      null,
      'x',
      { uri: 'a\u0000' },
    ];
    const { result } = await filtered('resources/list', { resources: resources.slice(0, 5) });
    expect(result).toEqual({ resources: [{ uri: 'file:///public/a' }] });
    expect((await filtered('tools/list', { tools: 'all' })).result).toEqual({ tools: [] });
  });

  it('keeps a tool whose call is decided by its arguments', async () => {
    const mapping = (id: string) => ({ evaluation: { action: { name: 'erase' }, resource: { type: 'customer', id } } });
    const declared = [
      { name: 'by-argument', inputSchema: { 'x-authzen-mapping': mapping('$params.arguments.id') } },
      { name: 'fixed', inputSchema: { 'x-authzen-mapping': mapping('c-1') } },
    ];
    const { result } = await filtered('tools/list', { tools: declared });
    expect((result.tools as { name: string }[]).map(({ name }) => name)).toEqual(['by-argument']);
  });

  it('is refused as a whole, in one record, where the list may not be seen', async () => {
    const answer = await filtered('tools/list', { tools }, { sub: 'eve' });
    expect(answer).toMatchObject(denied(-32001, expect.any(String)));
    expect(answer.result).toBeUndefined();
    expect(await service.log.find(answer.decisionIds[0]!)).toMatchObject({
      decision: 'deny',
      search: { examined: 0, results: [] },
    });
  });
});
