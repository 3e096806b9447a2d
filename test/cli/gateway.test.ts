import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writePolicies } from '../http/service.js';
import { idModel } from '../models.js';
import { verdict, workFolder } from './run.js';

const tryRequest = (...args: string[]) =>
  verdict(['gateway', 'try', 'policies/api-gateway', ...args], { cwd: workFolder() });

describe('verdict gateway try', () => {
  it('shows what a request becomes, and the decision', async () => {
    const { code, stdout } = await tryRequest(
      'POST',
      '/v1/./orders?x=1',
      '--token',
      '{"sub":"web-shop"}',
      '--output',
      'json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      question: {
        subject: { type: 'client', id: 'web-shop' },
        action: { name: 'POST' },
        resource: { type: 'path', id: '/v1/orders' },
        attributes: { ip: '127.0.0.1' },
      },
      decision: { decision: 'allow', reason: { message: 'Storefronts place orders' } },
    });
  });

  it('takes a user without a token, and nobody', async () => {
    expect((await tryRequest('GET', '/v1/products')).code).toBe(0);
    const denied = await tryRequest('DELETE', '/v1/orders/7', '--user', 'erp');
    expect(denied.code).toBe(1);
    expect(denied.stdout).toContain('Orders are cancelled, never deleted');
  });

  it('says why a request becomes no question', async () => {
    const { code, stdout } = await tryRequest('GET', '/v1/products/..%2f..%2finternal');
    expect(code).toBe(1);
    expect(stdout).toContain('ambiguous_path  The path holds an encoded slash.');
  });

  it('says what is wrong with the command', async () => {
    for (const args of [
      ['--token', 'alice'],
      ['--token', '{}'],
      ['-H', 'no header'],
    ]) {
      const { code, stderr } = await tryRequest('GET', '/a', ...args);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^verdict: /);
    }
  });

  describe('with a check of Envoy', () => {
    const mesh = {
      'mesh/model.conf': idModel,
      'mesh/rules.csv': 'p, spiffe://acme/shop, amount:5, POST\np, alice, /orders, GET\n',
      'mesh/policy-set.yaml': `gateway:
  identity: { certificate: true, proxies: [edge] }
  attributes: { ip: "\${client.address}", tier: "\${route.tier}", scopes: "\${metadata.jwt.scopes}" }
  forward: { set: { X-User: "\${identity}", X-Tenant: "\${query.tenant}" } }
  routes:
    - { path: /payments, resource: { type: payment, id: "amount:\${body.amount}" } }
    - { path: "/{rest*}" }
`,
    };
    const tryCheck = (check: unknown, ...args: string[]) => {
      const folder = workFolder({ policies: false });
      writePolicies(join(folder, 'policies'), mesh);
      writeFileSync(join(folder, 'check.json'), typeof check === 'string' ? check : JSON.stringify(check));
      return verdict(['gateway', 'try', 'policies/mesh', '--envoy', 'check.json', '--output', 'json', ...args], {
        cwd: folder,
      });
    };
    const http = { method: 'POST', path: '/payments', host: 'shop.example', headers: { 'content-length': '12' } };
    const source = {
      address: { socketAddress: { address: '192.0.2.7', portValue: 41234 } },
      principal: 'spiffe://acme/shop',
    };

    it('shows what it becomes, with the body, the certificate, the route and the metadata', async () => {
      const { code, stdout } = await tryCheck({
        attributes: {
          source,
          request: { time: '2026-11-30T20:00:00Z', http: { ...http, body: '{"amount":5}' } },
          contextExtensions: { tier: 'gold' },
          metadataContext: { filterMetadata: { jwt: { scopes: ['a'] } } },
        },
      });
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        question: {
          subject: { id: 'spiffe://acme/shop' },
          resource: { type: 'payment', id: 'amount:5' },
          attributes: { ip: '192.0.2.7', tier: 'gold', scopes: ['a'] },
        },
        decision: { decision: 'allow' },
        forward: { set: { 'x-user': 'spiffe://acme/shop' }, remove: ['x-tenant'] },
      });
    });

    it('takes the names of the proto as well, and bytes', async () => {
      const raw = Buffer.from('{"amount":5}').toString('base64');
      const { code, stdout } = await tryCheck({
        attributes: {
          source: { address: { socket_address: { address: '192.0.2.7' } }, principal: 'spiffe://acme/shop' },
          request: { http: { method: 'POST', path: '/payments', raw_body: raw, header_map: { headers: [] } } },
          context_extensions: { tier: 'gold' },
        },
      });
      expect(code).toBe(0);
      expect(JSON.parse(stdout).question.attributes).toEqual({ ip: '192.0.2.7', tier: 'gold' });
    });

    it('takes a token beside it, and says why a request becomes no question', async () => {
      const check = { attributes: { request: { http: { method: 'GET', path: '/orders' } } } };
      expect((await tryCheck(check, '--token', '{"sub":"alice"}')).code).toBe(0);
      expect(JSON.parse((await tryCheck(check)).stdout)).toMatchObject({ refused: 'unauthenticated' });
      const partial = { attributes: { source, request: { http } } };
      expect(JSON.parse((await tryCheck(partial)).stdout)).toMatchObject({ refused: 'unreadable_body' });
    });

    it('says what is wrong with it', async () => {
      for (const check of [
        '{',
        [],
        {},
        { attributes: [] },
        { attributes: { request: { http: { path: '/' } } } },
        { attributes: { request: { http: { method: 'GET', path: 7 } } } },
      ]) {
        const { code, stderr } = await tryCheck(check);
        expect(code, JSON.stringify(check)).toBe(2);
        expect(stderr).toMatch(/^verdict: the check of --envoy/);
      }
      expect((await tryRequest('GET')).code).toBe(2);
      expect((await tryCheck({}, 'GET')).code).toBe(2);
    });
  });
});
