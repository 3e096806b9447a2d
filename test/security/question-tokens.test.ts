/** Tokens that questions bring: forged, borrowed, broken and strange ones, from the attacker's side. */
import { createHmac } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { QuestionTokens } from '../../src/auth/question-tokens.js';
import { defaultRequestLimits } from '../../src/core/asked/attribute-count.js';
import type { DeclaredToken } from '../../src/core/manifest/declared-tokens.js';
import { VerdictError } from '../../src/errors.js';
import { claimsOf, type Issuer, startIssuer } from './world.js';

let issuer: Issuer;
let other: Issuer;
beforeAll(async () => {
  [issuer, other] = [await startIssuer(), await startIssuer()];
});
afterAll(() => Promise.all([issuer.stop(), other.stop()]));
afterEach(() => issuer.serve([issuer.keys.publicJwk]));

type Options = Partial<ConstructorParameters<typeof QuestionTokens>[0]> & { algorithms?: string[] };
function questionTokens({ algorithms = ['ES256', 'RS256', 'EdDSA'], ...more }: Options = {}): QuestionTokens {
  const issuers = [{ issuer: issuer.url }, { issuer: other.url }];
  const verifier = { issuers, algorithms, clockSkewSeconds: 30, onProblem: () => undefined };
  return new QuestionTokens({ verifier, limits: defaultRequestLimits, ...more });
}

const user = (more: Partial<DeclaredToken> = {}): DeclaredToken => ({
  audience: ['shop'],
  issuers: undefined,
  claims: undefined,
  ...more,
});
const declared = (more: Partial<DeclaredToken> = {}) => new Map([['user', user(more)]]);
const ofShop = (more: JWTPayload = {}) => issuer.sign(claimsOf(issuer, { aud: 'shop', ...more }));
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** The claims, or the code of the refusal. */
async function ask(token: string, tokens = questionTokens(), set = declared(), now = Date.now()): Promise<unknown> {
  try {
    return (await tokens.claimsOf(set, { user: token }, now)).user;
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    expect(error.cause).toBeUndefined();
    for (const part of token.split('.').filter((each) => each.length > 8)) {
      expect(JSON.stringify([error.message, error.detail, error.extra])).not.toContain(part);
    }
    return error.code;
  }
}

describe('a token of a question', () => {
  it('is replaced by its claims', async () => {
    expect(await ask(await ofShop({ sub: 'ann', roles: ['editor'] }))).toMatchObject({
      iss: issuer.url,
      aud: 'shop',
      sub: 'ann',
      roles: ['editor'],
    });
  });

  it('gives the claims that the set names, and nothing else', async () => {
    const token = await ofShop({ sub: 'ann', 'https://shop.example/roles': ['editor'], email: 'ann@shop.example' });
    const claims = new Map([
      ['sub', 'sub'],
      ['roles', 'https://shop.example/roles'],
      ['team', 'team'],
      ['odd', 'toString'],
    ]);
    expect(await ask(token, questionTokens(), declared({ claims }))).toEqual({ sub: 'ann', roles: ['editor'] });
  });

  it('is refused where the set declares none of that name, and is not looked at', async () => {
    const tokens = questionTokens();
    const before = issuer.fetches();
    for (const name of ['usr', '__proto__', 'constructor', '']) {
      const sent = JSON.parse(JSON.stringify({ user: 'x' }).replace('user', name)) as Record<string, string>;
      await expect(tokens.claimsOf(declared(), sent, Date.now())).rejects.toMatchObject({ code: 'token_unknown' });
    }
    await expect(tokens.claimsOf(new Map(), { user: 'x' }, Date.now())).rejects.toMatchObject({
      code: 'token_unknown',
    });
    expect(issuer.fetches()).toBe(before);
  });

  it('is refused where no issuer is configured', async () => {
    expect(await ask(await ofShop(), questionTokens({ verifier: undefined }))).toBe('token_invalid');
  });

  it('without a signature (alg: none) is refused', async () => {
    const claims = claimsOf(issuer, { aud: 'shop' });
    expect(await ask(new UnsecuredJWT(claims).encode())).toBe('token_invalid');
    for (const alg of ['none', 'None', 'nOnE', '']) {
      expect(await ask(`${base64({ alg })}.${base64(claims)}.`)).toBe('token_invalid');
    }
  });

  it('signed by HMAC with the public key as the secret is refused', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true });
    const rsa = { ...(await exportJWK(publicKey)), kid: 'rsa', alg: 'RS256' };
    issuer.serve([rsa]);
    const input = `${base64({ alg: 'HS256', kid: 'rsa' })}.${base64(claimsOf(issuer, { aud: 'shop' }))}`;
    for (const secret of [await exportSPKI(publicKey), JSON.stringify(rsa), rsa.n!]) {
      const signature = createHmac('sha256', secret).update(input).digest('base64url');
      expect(await ask(`${input}.${signature}`)).toBe('token_invalid');
    }
  });

  it('by an algorithm that is not configured is refused, though the signature is right', async () => {
    expect(await ask(await ofShop(), questionTokens({ algorithms: ['RS256'] }))).toBe('token_invalid');
  });

  it('that brings its own key, or names one that is none, is refused', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const kid = issuer.keys.kid;
    for (const header of [
      { kid, jwk },
      { kid, jku: 'http://127.0.0.1:9/jwks' },
      { kid: '../../../../dev/null' },
      { kid: '__proto__' },
      { kid: "' OR 1=1 --" },
    ]) {
      const signing = new SignJWT(claimsOf(issuer, { aud: 'shop' })).setProtectedHeader({
        alg: 'ES256',
        ...header,
      } as never);
      expect(await ask(await signing.sign(privateKey))).toBe('token_invalid');
    }
  });

  it.each([
    ['another audience', { aud: 'verdict' }],
    ['no audience', { aud: undefined }],
    ['another issuer', { iss: 'https://elsewhere.example' }],
    ['no issuer', { iss: undefined }],
    ['no end', { exp: undefined }],
    ['an end in the year 9999', { exp: 253_402_300_799 }],
    ['a beginning that is to come', { nbf: Math.floor(Date.now() / 1000) + 600 }],
    ['an issue in the future', { iat: Math.floor(Date.now() / 1000) + 600 }],
  ])('with %s is refused', async (_what, claims) => {
    expect(await ask(await ofShop(claims as JWTPayload))).toBe('token_invalid');
  });

  it.each(['logout+jwt', 'dpop+jwt', 'secevent+jwt'])('of the type %s is refused', async (typ) => {
    expect(await ask(await issuer.sign(claimsOf(issuer, { aud: 'shop' }), { typ }))).toBe('token_invalid');
  });

  it('of one issuer under the name of another is refused, and one that the set does not take', async () => {
    const set = declared({ issuers: [issuer.url] });
    expect(await ask(await issuer.sign(claimsOf(other, { aud: 'shop' })))).toBe('token_invalid');
    expect(await ask(await other.sign(claimsOf(other, { aud: 'shop' })))).toMatchObject({ iss: other.url });
    expect(await ask(await other.sign(claimsOf(other, { aud: 'shop' })), questionTokens(), set)).toBe('token_invalid');
    expect(await ask(await ofShop(), questionTokens(), set)).toMatchObject({ iss: issuer.url });
  });

  it('that has expired has a code of its own, also where it was verified before', async () => {
    const tokens = questionTokens();
    const end = Math.floor(Date.now() / 1000) + 60;
    const token = await ofShop({ exp: end });
    expect(await ask(token, tokens, declared(), (end + 29) * 1000)).toMatchObject({ sub: 'robot' });
    expect(tokens.cachedCount).toBe(1);
    expect(await ask(token, tokens, declared(), (end + 30) * 1000)).toBe('token_expired');
  });

  it('may have 8,192 characters and not one more', async () => {
    const short = await ofShop({ filler: '' });
    const long = await ofShop({ filler: 'x'.repeat(Math.floor(((8_192 - short.length) * 3) / 4) - 2) });
    expect(long.length).toBeLessThanOrEqual(8_192);
    expect(await ask(long)).toMatchObject({ sub: 'robot' });
    expect(await ask(`${long}${'x'.repeat(8_193 - long.length)}`)).toBe('token_invalid');
  });

  it.each(['', '.', '..', 'a.b.c', 'eyJ', '💣.💣.💣', `${base64({ alg: 'dir', enc: 'A256GCM' })}..AAAA.AAAA.AAAA`])(
    'that is none (%j) is refused',
    async (text) => {
      expect(await ask(text)).toBe('token_invalid');
    },
  );
});

describe('claims', () => {
  /** As an issuer could sign it: the text itself, which no object of JavaScript could say. */
  async function signed(more: string): Promise<string> {
    const claims = JSON.stringify(claimsOf(issuer, { aud: 'shop' })).replace(/\}$/, `,${more}}`);
    const { CompactSign } = await import('jose');
    return new CompactSign(new TextEncoder().encode(claims))
      .setProtectedHeader({ alg: 'ES256', kid: issuer.keys.kid })
      .sign(issuer.keys.privateKey);
  }

  it.each([
    ['a member that is called __proto__', '"__proto__": {"admin": true}'],
    ['a member that is called __proto__ further in', '"org": {"__proto__": {"admin": true}}'],
    ['a NUL', '"team": "a\\u0000b"'],
    ['half of a character', '"team": "\\ud800"'],
    ['half of a character in a name', '"te\\ud800am": 1'],
    ['a number that no double holds', '"id": 9007199254740993'],
    ['a number beyond all', '"id": 1e999'],
    ['a subject with a line break', '"sub": "ann\\nroot"'],
    ['objects that are too deep', `"deep": ${'{"a":'.repeat(16)}1${'}'.repeat(16)}`],
    ['too many members', `"many": {${Array.from({ length: 1_000 }, (_, n) => `"${n.toString(36)}":1`).join()}}`],
  ])('with %s are refused', async (_what, more) => {
    expect(await ask(await signed(more))).toBe('token_invalid');
  });

  it.each([
    ['null', 'null'],
    ['a list of lists', '[["a"], [1, null]]'],
    ['an object', '{"a": {"b": true}}'],
    ['a fraction', '0.5'],
    ['the greatest exact number', '9007199254740991'],
    ['objects as deep as may be', `${'{"a":'.repeat(15)}1${'}'.repeat(15)}`],
  ])('may be %s', async (_what, value) => {
    expect(await ask(await signed(`"odd": ${value}`))).toMatchObject({ odd: JSON.parse(value) });
  });

  it('that the set does not read may be what they like', async () => {
    const token = await signed('"__proto__": {"sub": "root"}, "id": 1e999');
    const claims = new Map([['sub', 'sub']]);
    expect(await ask(token, questionTokens(), declared({ claims }))).toEqual({ sub: 'robot' });
  });
});

describe('what is remembered of tokens', () => {
  it('costs one signature, for one declaration alone', async () => {
    const tokens = questionTokens();
    const token = await ofShop();
    const [first, second] = [await ask(token, tokens), await ask(token, tokens)];
    expect(second).toBe(first);
    expect(tokens.cachedCount).toBe(1);
    expect(await ask(token, tokens, declared({ audience: ['bank'] }))).toBe('token_invalid');
    expect(await ask(token, tokens, declared({ issuers: [other.url] }))).toBe('token_invalid');
    expect(await ask(token, tokens, declared({ claims: new Map([['sub', 'sub']]) }))).toEqual({ sub: 'robot' });
    expect(tokens.cachedCount).toBe(2);
  });

  it('is nothing of a token that was refused, and as many tokens as are configured at most', async () => {
    const tokens = questionTokens({ mostCached: 3 });
    await ask('a.b.c', tokens);
    await ask(await ofShop({ aud: 'bank' }), tokens);
    expect(tokens.cachedCount).toBe(0);
    for (let n = 0; n < 5; n++) await ask(await ofShop({ jti: String(n) }), tokens);
    expect(tokens.cachedCount).toBe(3);
  });

  it('is forgotten when the issuer has withdrawn its keys and cannot be asked', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
    const tokens = questionTokens();
    try {
      const token = await ofShop();
      expect(await ask(token, tokens)).toMatchObject({ sub: 'robot' });
      issuer.serve(undefined);
      vi.advanceTimersByTime(3_600_001);
      expect(await ask(await ofShop({ jti: 'another' }), tokens)).toBe('token_issuer_unavailable');
      expect(await ask(token, tokens)).toBe('token_issuer_unavailable');
    } finally {
      tokens.close();
      vi.useRealTimers();
    }
  });

  it('is asked of an issuer when a token comes, and before that not at all', async () => {
    const before = issuer.fetches();
    const tokens = questionTokens();
    expect(issuer.fetches()).toBe(before);
    await ask(await ofShop(), tokens);
    expect(issuer.fetches()).toBe(before + 1);
    tokens.close();
  });
});
