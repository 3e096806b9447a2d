/**
 * A service that stands as it would on a network: TLS, client certificates, declared and managed API keys, an issuer of
 * access tokens. Every kind of credential exists in every way in which it can be wrong.
 */
import type { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { ApiKeys } from '../../src/auth/api-keys.js';
import { ManagedKeys } from '../../src/auth/managed-keys.js';
import { knownScopes } from '../../src/auth/scopes.js';
import { type Answer, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { makeAuthority } from './certificates.js';

export const audience = 'verdict';
export const environment = 'test';

export interface Credential {
  readonly headers?: Record<string, string>;
  readonly certificate?: { readonly cert: string; readonly key: string };
}

export interface Issuer {
  readonly url: string;
  readonly keys: { readonly publicJwk: JWK; readonly privateKey: webcrypto.CryptoKey; readonly kid: string };
  /** How often the keys were fetched. */
  readonly fetches: () => number;
  /** What the issuer answers from now on; undefined: it is away. */
  serve(jwks: JWK[] | undefined): void;
  sign(claims: JWTPayload, header?: Record<string, unknown>): Promise<string>;
  stop(): Promise<void>;
}

/** An issuer of its own, so that tests can make it lie; the real provider has a test of its own. */
export async function startIssuer(): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const kid = 'key-1';
  const publicJwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' };
  let fetches = 0;
  let served: JWK[] | undefined = [publicJwk];
  const server: Server = createServer((request, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    if (served === undefined) response.writeHead(503).end();
    else if (request.url === '/jwks') {
      fetches++;
      response.end(JSON.stringify({ keys: served }));
    } else response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}/jwks` }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    keys: { publicJwk, privateKey, kid },
    fetches: () => fetches,
    serve: (jwks) => {
      served = jwks;
    },
    sign: (claims, header = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt', ...header }).sign(privateKey),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function claimsOf(issuer: Issuer, more: JWTPayload = {}): JWTPayload {
  const now = Math.floor(Date.now() / 1000);
  return { iss: issuer.url, aud: audience, sub: 'robot', exp: now + 600, iat: now, scope: 'decide', ...more };
}

export interface World {
  readonly service: Service;
  readonly issuer: Issuer;
  readonly credentials: Record<string, Credential>;
  readonly port: number;
  /** Asks over TLS on a real socket. */
  ask(method: string, path: string, credential: Credential, body?: unknown): Promise<Answer>;
  stop(): Promise<void>;
}

export const bearer = (key: string): Credential => ({ headers: { authorization: `Bearer ${key}` } });
export const basic = (name: string, key: string): Credential => ({
  headers: { authorization: `Basic ${Buffer.from(`${name}:${key}`).toString('base64')}` },
});

export async function startWorld(): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-world-'));
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const issuer = await startIssuer();
  const authority = await makeAuthority('Verdict test CA');
  const stranger = await makeAuthority('Somebody else');
  const server = await authority.issue('localhost', { server: true });
  const certificates = {
    right: await authority.issue('right'),
    limited: await authority.issue('limited'),
    reader: await authority.issue('scopeless'),
    expired: await authority.issue('expired-entry'),
    elsewhere: await authority.issue('elsewhere'),
    unknown: await authority.issue('unknown'),
    revoked: await authority.issue('right'),
    forged: await stranger.issue('right'),
  };

  const all = knownScopes.join(', ');
  const keys: Record<string, string> = {};
  const entry = (name: string, scopes: string, more = '', key = makeApiKey(environment)) => {
    keys[name] = key;
    return `- name: ${name}\n  sha256: ${digestOf(key)}\n  certificate: CN=${name}\n  scopes: [${scopes}]\n${more}`;
  };
  const text = [
    entry('right', all),
    entry('limited', all, '  sets: [invoices]\n'),
    entry('scopeless', ''),
    entry('expired-entry', all, '  expires: 2020-01-01\n'),
    entry('elsewhere', all, '  addresses: [192.0.2.0/24]\n'),
    entry('other-env', all, '', makeApiKey('elsewhere')),
  ].join('');

  const databasePath = join(directory, 'data', 'verdict.sqlite');
  const service = await startService(
    {
      'default/model.conf': idModel,
      'default/rules.csv': 'p, ann, doc, read\n',
      'invoices/model.conf': idModel,
      'invoices/rules.csv': 'p, ann, invoice, pay\n',
      'salaries/model.conf': idModel,
      'salaries/rules.csv': 'p, eve, salary, read\n',
      'salaries/policy-set.yaml': 'local: allowed\n',
    },
    {
      auth: 'required',
      env: environment,
      databaseUrl: `sqlite:${databasePath}`,
      apiKeysFile: file('keys.yaml', text),
      jwtIssuer: issuer.url,
      jwtAudience: audience,
      authFailureLimit: '100000/s',
      tlsCert: file('server.pem', server.cert),
      tlsKey: file('server-key.pem', server.key),
      tlsClientCa: file('ca.pem', authority.cert),
      tlsCrl: file('crl.pem', await authority.revoke(certificates.revoked)),
    },
  );
  const managed = service.app.get(ManagedKeys);
  const created = await managed.create({ name: 'revoked', scopes: [...knownScopes] }, environment, 'test', Date.now());
  await managed.revoke('revoked', Date.now());
  await service.app.get(ApiKeys).refresh();

  const now = Math.floor(Date.now() / 1000);
  const token = async (claims: JWTPayload) =>
    bearer(await issuer.sign(claimsOf(issuer, { scope: knownScopes.join(' '), ...claims })));
  const otherKey = await generateKeyPair('ES256');
  const forged = await new SignJWT(claimsOf(issuer, { scope: knownScopes.join(' ') }))
    .setProtectedHeader({ alg: 'ES256', kid: issuer.keys.kid, typ: 'at+jwt' })
    .sign(otherKey.privateKey);
  const limitedScopes = knownScopes.map((scope) => `${scope}:invoices`).join(' ');

  const credentials: Record<string, Credential> = {
    'no credential': {},
    'API key, malformed': bearer(`${keys.right}x`),
    'API key, wrong': bearer(makeApiKey(environment)),
    'API key, expired': bearer(keys['expired-entry']!),
    'API key, revoked': bearer(created),
    'API key, other environment': bearer(keys['other-env']!),
    'API key, other address': bearer(keys.elsewhere!),
    'API key, missing scope': bearer(keys.scopeless!),
    'API key, other set': bearer(keys.limited!),
    'API key, right': bearer(keys.right!),
    'X-API-Key, right': { headers: { 'x-api-key': keys.right! } },
    'X-API-Key, wrong': { headers: { 'x-api-key': makeApiKey(environment) } },
    'Basic, malformed': { headers: { authorization: 'Basic %%%' } },
    'Basic, wrong name': basic('limited', keys.right!),
    'Basic, wrong': basic('right', makeApiKey(environment)),
    'Basic, expired': basic('expired-entry', keys['expired-entry']!),
    'Basic, revoked': basic('revoked', created),
    'Basic, other environment': basic('other-env', keys['other-env']!),
    'Basic, other address': basic('elsewhere', keys.elsewhere!),
    'Basic, missing scope': basic('scopeless', keys.scopeless!),
    'Basic, other set': basic('limited', keys.limited!),
    'Basic, right': basic('right', keys.right!),
    'JWT, malformed': bearer('eyJhbGciOiJFUzI1NiJ9.e30'),
    'JWT, wrong': bearer(forged),
    'JWT, expired': await token({ exp: now - 600 }),
    'JWT, other audience': await token({ aud: 'somebody-else' }),
    'JWT, missing scope': await token({ scope: 'openid profile' }),
    'JWT, other set': await token({ scope: limitedScopes }),
    'JWT, right': await token({}),
    'certificate, wrong': { certificate: certificates.forged },
    'certificate, unknown': { certificate: certificates.unknown },
    'certificate, revoked': { certificate: certificates.revoked },
    'certificate, expired': { certificate: certificates.expired },
    'certificate, other address': { certificate: certificates.elsewhere },
    'certificate, missing scope': { certificate: certificates.reader },
    'certificate, other set': { certificate: certificates.limited },
    'certificate, right': { certificate: certificates.right },
    'two credentials, both right': {
      headers: { authorization: `Bearer ${keys.right}`, 'x-api-key': keys.right! },
    },
  };

  await service.app.listen(0, '127.0.0.1');
  const { port } = service.app.getHttpServer().address() as AddressInfo;
  const agents = new Map<unknown, Agent>();
  const agentFor = (certificate: Credential['certificate']) => {
    const agent =
      agents.get(certificate) ?? new Agent({ keepAlive: true, maxSockets: 4, ca: authority.cert, ...certificate });
    agents.set(certificate, agent);
    return agent;
  };

  const ask: World['ask'] = (method, path, { headers = {}, certificate }, body) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const request = httpsRequest(
        {
          host: '127.0.0.1',
          servername: 'localhost',
          port,
          method,
          path,
          agent: agentFor(certificate),
          headers: {
            ...headers,
            ...((method === 'POST' || text !== undefined) && { 'content-type': 'application/json' }),
          },
        },
        (response) => {
          let answer = '';
          response.setEncoding('utf8').on('data', (chunk) => {
            answer += chunk;
          });
          response.on('end', () => {
            const isJson = String(response.headers['content-type']).includes('json');
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: isJson && answer !== '' ? JSON.parse(answer) : answer,
            });
          });
        },
      );
      request.on('error', reject);
      request.end(text);
    });

  return {
    service,
    issuer,
    credentials,
    port,
    ask,
    stop: async () => {
      for (const agent of agents.values()) agent.destroy();
      service.app.getHttpServer().closeAllConnections();
      await service.stop();
      await issuer.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
