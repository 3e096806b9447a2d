/**
 * The Lambda authorizer of deploy/gateways/aws, with events as AWS documents them, and a real service. What API Gateway keeps is played by
 * the identity sources that template.yaml names. AWS itself is not there.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { type Issuer, startIssuer } from '../security/world.js';

const folder = new URL('../../deploy/gateways/aws/', import.meta.url);
const { handler } = (await import(new URL('authorizer.mjs', folder).href)) as {
  handler: (event: object) => Promise<Record<string, unknown>>;
};

let issuer: Issuer;
let service: BuiltService;
const tokens: Record<string, string> = {};
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startBuiltService(
    {
      'default/model.conf': idModel,
      'default/rules.csv':
        'p, alice, /orders, GET\np, alice, /orders/café x, GET\np, bob, /orders, POST\np, alice, /files/a+b, GET\n',
    },
    { VERDICT_JWT_ISSUER: issuer.url, VERDICT_JWT_AUDIENCE: 'verdict', VERDICT_GATEWAY_JWT_AUDIENCE: 'shop' },
  );
  const exp = Math.floor(Date.now() / 1000) + 600;
  for (const sub of ['alice', 'bob'])
    tokens[sub] = `Bearer ${await issuer.sign({ iss: issuer.url, aud: 'shop', sub, exp })}`;
  process.env.VERDICT_URL = service.url;
  process.env.VERDICT_KEY = service.token;
});
afterAll(async () => {
  delete process.env.VERDICT_URL;
  delete process.env.VERDICT_KEY;
  await service?.stop();
  await issuer?.stop();
});

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly authorization?: string | readonly string[] | undefined;
  readonly query?: Readonly<Record<string, readonly string[]>>;
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html, input of a REQUEST authorizer. */
function restEvent({ method = 'GET', path = '/orders', authorization, query = {} }: Asked) {
  const values = [authorization ?? []].flat();
  const last = (of: Readonly<Record<string, readonly string[]>>) =>
    Object.fromEntries(Object.entries(of).map(([name, all]) => [name, all.at(-1)]));
  const multiValueHeaders = { Accept: ['*/*'], ...(values.length > 0 && { Authorization: values }) };
  return {
    type: 'REQUEST',
    methodArn: `arn:aws:execute-api:eu-central-1:123456789012:abcdef123/prod/${method}${path}`,
    resource: '/{proxy+}',
    path,
    httpMethod: method,
    headers: last(multiValueHeaders),
    multiValueHeaders,
    queryStringParameters: last(query),
    multiValueQueryStringParameters: query,
    pathParameters: { proxy: path.slice(1) },
    stageVariables: {},
    requestContext: {
      path: `/prod${path}`,
      accountId: '123456789012',
      stage: 'prod',
      requestId: 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef',
      domainName: 'abcdef123.execute-api.eu-central-1.amazonaws.com',
      identity: { sourceIp: '203.0.113.9' },
      resourcePath: '/{proxy+}',
      httpMethod: method,
      apiId: 'abcdef123',
    },
  };
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html, payload format 2.0. */
function httpEvent({ method = 'GET', path = '/orders', authorization, query = {} }: Asked) {
  const header = authorization === undefined ? {} : { authorization: [authorization].flat().join(',') };
  const rawQueryString = Object.entries(query)
    .flatMap(([name, values]) => values.map((value) => `${name}=${value}`))
    .join('&');
  return {
    version: '2.0',
    type: 'REQUEST',
    routeArn: `arn:aws:execute-api:eu-central-1:123456789012:abcdef123/$default/${method}${path}`,
    identitySource: [header.authorization, method, path],
    routeKey: '$default',
    rawPath: path,
    rawQueryString,
    headers: { accept: '*/*', ...header },
    requestContext: {
      accountId: '123456789012',
      apiId: 'abcdef123',
      domainName: 'abcdef123.execute-api.eu-central-1.amazonaws.com',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '203.0.113.9', userAgent: 'agent' },
      requestId: 'id',
      routeKey: '$default',
      stage: '$default',
    },
  };
}

/** allow or deny; API Gateway's 401 and 500 are errors. */
async function outcome(event: object): Promise<string> {
  try {
    const { isAuthorized, policyDocument } = (await handler(event)) as {
      isAuthorized?: boolean;
      policyDocument?: { Statement: { Effect: string }[] };
    };
    return (isAuthorized ?? policyDocument!.Statement[0]!.Effect === 'Allow') ? 'allow' : 'deny';
  } catch (error) {
    return (error as Error).message === 'Unauthorized' ? '401' : '500';
  }
}

describe.each([
  ['a REST API', restEvent, '401'],
  ['a HTTP API', httpEvent, 'deny'],
] as const)('the authorizer of %s', (_name, eventOf, unauthenticated) => {
  it('lets through what Verdict allows, and denies what it does not', async () => {
    expect(await outcome(eventOf({ authorization: tokens.alice }))).toBe('allow');
    expect(await outcome(eventOf({ authorization: tokens.alice, query: { page: ['2', '3'] } }))).toBe('allow');
    expect(await outcome(eventOf({ authorization: tokens.alice, method: 'POST' }))).toBe('deny');
    expect(await outcome(eventOf({ authorization: tokens.alice, path: '/admin' }))).toBe('deny');
    expect(await outcome(eventOf({ authorization: tokens.bob }))).toBe('deny');
  });

  it('asks for an identity where there is none, a wrong one, or two', async () => {
    expect(await outcome(eventOf({}))).toBe(unauthenticated);
    expect(await outcome(eventOf({ authorization: 'Bearer a.b.c' }))).toBe(unauthenticated);
    expect(await outcome(eventOf({ authorization: [tokens.alice!, tokens.bob!] }))).toBe('deny');
  });

  it('tells the integration by which decision and for whom', async () => {
    const { context } = await handler(eventOf({ authorization: tokens.alice }));
    expect(context).toMatchObject({ subject: 'alice', decisionId: expect.stringMatching(/^[0-9a-f]{8}-/) });
  });

  it('knows a path that API Gateway has decoded, and one that it has not', async () => {
    expect(await outcome(eventOf({ authorization: tokens.alice, path: '/orders/café x' }))).toBe('allow');
    expect(await outcome(eventOf({ authorization: tokens.alice, path: '/orders/caf%C3%A9%20x' }))).toBe('allow');
    expect(await outcome(eventOf({ authorization: tokens.alice, path: '/files/a+b' }))).toBe('allow');
  });

  it.each([
    '/orders/../admin',
    '/orders/%2e%2e/orders',
    '/orders%2f',
    '/%6frders/%2541',
    '/orders;x',
    '/orders\\',
    '/orders\0',
  ])('is not fooled by %j', async (path) =>
    expect(await outcome(eventOf({ authorization: tokens.alice, path }))).toBe('deny'),
  );
});

describe('the policy for a REST API', () => {
  it('names the very method and path that was asked about', async () => {
    const event = restEvent({ authorization: tokens.alice });
    expect(await handler(event)).toMatchObject({
      principalId: 'alice',
      policyDocument: {
        Version: '2012-10-17',
        Statement: [{ Action: 'execute-api:Invoke', Effect: 'Allow', Resource: event.methodArn }],
      },
    });
  });

  it.each(['/orders*', '/orders?', '/${aws:username}'])(
    'never holds %s, which would stand for others',
    async (path) => {
      const { policyDocument } = await handler({
        ...restEvent({ authorization: tokens.alice }),
        methodArn: `arn:aws:x/GET${path}`,
      });
      expect(policyDocument).toMatchObject({ Statement: [{ Effect: 'Deny', Resource: '*' }] });
    },
  );

  it('is refused to an authorizer whose key would be the token alone', async () => {
    const event = { type: 'TOKEN', authorizationToken: tokens.alice, methodArn: 'arn:aws:x/GET/orders' };
    await expect(handler(event)).rejects.toThrow(/must be of the type REQUEST/);
  });
});

describe('what API Gateway keeps, by the identity sources of template.yaml', () => {
  const template = parseDocument(readFileSync(new URL('template.yaml', folder), 'utf8'), { logLevel: 'silent' }).toJS();
  interface Identity {
    Headers: string[];
    Context: string[];
    ReauthorizeEvery: unknown;
  }
  const identityOf = (api: string): Identity => template.Resources[api].Properties.Auth.Authorizers.Verdict.Identity;

  type Event = ReturnType<typeof restEvent> | ReturnType<typeof httpEvent>;
  /** A source that is not there is 401 without a question: nothing is kept under it. */
  function keyOf(event: Event, { Headers, Context }: Pick<Identity, 'Headers' | 'Context'>): string | undefined {
    const headers = Object.entries(event.headers);
    const context = {
      httpMethod: 'httpMethod' in event ? event.httpMethod : event.requestContext.http.method,
      path: 'path' in event ? event.path : event.rawPath,
    };
    const values = [
      ...Headers.map((name) => headers.find(([each]) => each.toLowerCase() === name.toLowerCase())?.[1]),
      ...Context.map((name) => context[name as 'path']),
    ];
    return values.some((value) => value === undefined || value === '') ? undefined : JSON.stringify(values);
  }

  /** Each of these is asked twice, in an order in which each may meet what another left behind. */
  const requests: Asked[] = ['alice', 'bob'].flatMap((name) =>
    ['GET', 'POST', 'DELETE'].flatMap((method) =>
      ['/orders', '/admin'].map((path) => ({ authorization: name, method, path })),
    ),
  );

  /** Requests whose kept answer is not what Verdict says. */
  async function wronglyAnswered(eventOf: (asked: Asked) => Event, identity: Pick<Identity, 'Headers' | 'Context'>) {
    const kept = new Map<string, string>();
    const wrong: Asked[] = [];
    for (const asked of [...requests, ...requests].map((each) => ({
      ...each,
      authorization: tokens[each.authorization as string],
    }))) {
      const event = eventOf(asked);
      const key = keyOf(event, identity)!;
      const right = await outcome(event);
      if (!kept.has(key)) kept.set(key, right);
      if (kept.get(key) !== right) wrong.push(asked);
    }
    return wrong;
  }

  it.each([
    ['RestApi', restEvent],
    ['HttpApi', httpEvent],
  ] as const)('%s answers no request by what another one got', async (api, eventOf) => {
    expect(await wronglyAnswered(eventOf, identityOf(api))).toEqual([]);
    expect(keyOf(eventOf({}), identityOf(api))).toBeUndefined();
  });

  it.each([
    ['the method', { Headers: ['Authorization'], Context: ['path'] }],
    ['the path', { Headers: ['Authorization'], Context: ['httpMethod'] }],
    ['the identity', { Headers: [], Context: ['httpMethod', 'path'] }],
  ])('would be wrong without %s', async (_what, identity) => {
    expect(await wronglyAnswered(httpEvent, identity)).not.toEqual([]);
  });

  it('is nothing until somebody says for how long', () => {
    expect(template.Parameters.CacheSeconds).toMatchObject({ Default: 0, MaxValue: 60 });
    for (const api of ['RestApi', 'HttpApi']) expect(identityOf(api).ReauthorizeEvery).toBe('CacheSeconds');
  });
});

describe('while Verdict does not answer', () => {
  it('there is no permission, and nothing that API Gateway would keep', { timeout: 20_000 }, async () => {
    service.child.kill('SIGSTOP');
    expect(await outcome(restEvent({ authorization: tokens.alice }))).toBe('500');
    service.child.kill('SIGCONT');
    expect(await outcome(restEvent({ authorization: tokens.alice }))).toBe('allow');
    service.child.kill('SIGKILL');
    await once(service.child, 'exit');
    expect(await outcome(restEvent({ authorization: tokens.alice }))).toBe('500');
    expect(await outcome(httpEvent({ authorization: tokens.alice }))).toBe('500');
  });
});
