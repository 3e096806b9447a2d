/** Access tokens of a real OpenID provider: client credentials, rotation of its keys, expiry. */
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AccessTokens } from '../../src/auth/access-tokens.js';

const audience = 'https://verdict.example';
const client = { id: 'shop', secret: 'a-secret-of-the-test' };

interface Provider {
  callback(): RequestListener;
}

/** The provider has no types of its own, and is imported here alone. */
async function makeProvider(issuer: string, jwks: object[], lifetimeSeconds: number): Promise<Provider> {
  const name = 'oidc-provider';
  const { Provider } = (await import(name)) as { Provider: new (issuer: string, options: object) => Provider };
  return new Provider(issuer, {
    jwks: { keys: jwks },
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    scopes: ['decide', 'decide:invoices', 'decisions:read'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({
          scope: 'decide decide:invoices decisions:read',
          audience: audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: lifetimeSeconds,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
}

function signingKey(kid: string): object {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' };
}

let server: Server;
let issuer: string;
let listener: RequestListener;

beforeAll(async () => {
  server = createServer((request, response) => listener(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function tokenFor(scope: string): Promise<string> {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope, resource: audience }),
  });
  const answer = (await response.json()) as { access_token?: string };
  if (answer.access_token === undefined) throw new Error(JSON.stringify(answer));
  return answer.access_token;
}

describe('a real provider', () => {
  it('is believed by what its metadata says, through a rotation of its keys, until a token expires', async () => {
    // From the first fetch on: a clock that begins anew in between would run backwards.
    vi.useFakeTimers({ toFake: ['performance'] });
    const first = signingKey('first');
    listener = (await makeProvider(issuer, [first], 60)).callback();
    const tokens = new AccessTokens({
      issuers: [{ issuer }],
      audience: [audience],
      algorithms: ['RS256'],
      clockSkewSeconds: 0,
      onProblem: (_issuer, error) => {
        throw error;
      },
    });
    const token = await tokenFor('decide:invoices decisions:read');
    const caller = await tokens.verify(token, Date.now());
    expect(caller).toMatchObject({ name: client.id, method: 'jwt' });
    expect(typeof caller === 'object' && caller.grants.toTexts()).toEqual(['decide:invoices', 'decisions:read']);
    expect(await tokens.verify(token, Date.now() + 61_000)).toEqual(expect.stringContaining('ERR_JWT_EXPIRED'));

    try {
      const second = signingKey('second');
      listener = (await makeProvider(issuer, [second, first], 60)).callback();
      vi.advanceTimersByTime(11_000);
      const after = await tokenFor('decide');
      expect(JSON.parse(Buffer.from(after.split('.')[0]!, 'base64url').toString())).toMatchObject({
        kid: 'second',
        typ: 'at+jwt',
      });
      expect(await tokens.verify(after, Date.now())).toMatchObject({ name: client.id });
      expect(await tokens.verify(token, Date.now())).toMatchObject({ name: client.id });
    } finally {
      vi.useRealTimers();
    }
  });
});
