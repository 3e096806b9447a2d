/** docs/tokens.md is true: its set is served, and asked with a token of the claims that it shows. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compilePolicySet } from '../src/engine.js';
import { type Service, startService } from './http/service.js';
import { claimsOf, type Issuer, startIssuer } from './security/world.js';

const page = readFileSync(new URL('../docs/tokens.md', import.meta.url), 'utf8');
const blocks = new Map(
  [...page.matchAll(/^```\w+ (\S+)\n(.*?)^```/gms)].map(([, name, text]) => [name as string, text as string]),
);
const text = (name: string): string => {
  const found = blocks.get(name);
  if (found === undefined) throw new Error(`the page has no block ${name}`);
  return found;
};
const files = Object.fromEntries(
  ['policy-set.yaml', 'model.conf', 'rules.csv', 'entities.yaml', 'schema.yaml'].map((name) => [
    `default/${name}`,
    text(name),
  ]),
);

let issuer: Issuer;
let service: Service;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService(files, { jwtIssuer: issuer.url, jwtAudience: 'verdict' });
});
afterAll(async () => {
  await service.stop();
  await issuer.stop();
});

const ask = async (claims: object) => {
  const token = await issuer.sign(claimsOf(issuer, { ...JSON.parse(text('claims')), iss: issuer.url, ...claims }));
  return service.post('/v1/decide', { ...JSON.parse(text('question')), tokens: { user: token } });
};

describe('docs/tokens.md', () => {
  it('shows a question that is allowed, and what is recorded of its token', async () => {
    const { body } = await ask({});
    expect(body).toMatchObject({ allowed: true });
    const { request } = (await service.get(`/v1/decisions/${body.decisionId}`)).body;
    expect(request.tokens).toEqual(JSON.parse(text('record')));
  });

  it.each([
    ['another organisation', { org: { id: 'other' } }],
    ['no role', { roles: [] }],
  ])('shows one that is denied with %s', async (_what, claims) => {
    expect((await ask(claims)).body).toMatchObject({ allowed: false });
  });

  it('shows bindings that load', () => {
    const manifest = `${text('policy-set.yaml')}${text('bindings')}`;
    const model = text('model.conf')
      .replace('r = sub, obj, act', 'r = sub, obj, act, dom')
      .replace('m = ', 'm = r.dom != r.sub && ');
    expect(compilePolicySet({ model, rules: text('rules.csv'), manifest, strict: true }).problems).toEqual([]);
  });

  it('lists the codes that refuse a token', () => {
    const codes = [...page.matchAll(/^\| `(token_\w+)` \| (\d+) \|/gm)].map(([, code, status]) => [
      code,
      Number(status),
    ]);
    expect(Object.fromEntries(codes)).toEqual({
      token_unknown: 400,
      token_invalid: 400,
      token_expired: 400,
      token_issuer_unavailable: 503,
    });
  });
});
