/** Forged, borrowed and broken access tokens, from the attacker's side. */
import { createHmac, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { AccessTokens } from '../../src/auth/access-tokens.js';
import { IssuerKeys } from '../../src/auth/issuer-keys.js';
import { VerdictError } from '../../src/errors.js';
import { audience, claimsOf, type Issuer, startIssuer } from './world.js';

let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer.stop());
afterEach(() => issuer.serve([issuer.keys.publicJwk]));

function tokens(more: Partial<ConstructorParameters<typeof AccessTokens>[0]> = {}): AccessTokens {
  return new AccessTokens({
    issuers: [{ issuer: issuer.url }],
    audience: [audience],
    algorithms: ['ES256', 'RS256', 'EdDSA'],
    clockSkewSeconds: 30,
    onProblem: () => undefined,
    ...more,
  });
}

const base64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const verify = (token: string, with_ = tokens()) => with_.verify(token, Date.now());
const seconds = () => Math.floor(Date.now() / 1000);

describe('an access token', () => {
  it('of the issuer names its caller and his scopes', async () => {
    const caller = await verify(
      await issuer.sign(claimsOf(issuer, { scope: 'openid decide:invoices decisions:read' })),
    );
    expect(caller).toMatchObject({ name: 'robot', method: 'jwt' });
    expect(typeof caller === 'object' && caller.grants.toTexts()).toEqual(['decide:invoices', 'decisions:read']);
  });

  it.each([
    ['scp as a list', { scope: undefined, scp: ['decide'] }],
    ['scp as a text', { scope: undefined, scp: 'decide' }],
    ['a named claim', { scope: undefined, 'https://verdict.example/scopes': ['decide'] }],
  ])('has its scopes in %s', async (_name, claims) => {
    const caller = await verify(
      await issuer.sign(claimsOf(issuer, claims as JWTPayload)),
      tokens({ scopeClaim: 'https://verdict.example/scopes' }),
    );
    expect(typeof caller === 'object' && caller.grants.toTexts()).toEqual(['decide']);
  });

  it('without a signature (alg: none) is refused', async () => {
    const claims = claimsOf(issuer);
    expect(await verify(new UnsecuredJWT(claims).encode())).toEqual(expect.any(String));
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      expect(await verify(`${base64({ alg })}.${base64(claims)}.`)).toEqual(expect.any(String));
    }
  });

  it('signed by HMAC with the public key as secret is refused', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true });
    const rsa = { ...(await exportJWK(publicKey)), kid: 'rsa', alg: 'RS256' };
    issuer.serve([rsa]);
    const input = `${base64({ alg: 'HS256', kid: 'rsa', typ: 'at+jwt' })}.${base64(claimsOf(issuer))}`;
    for (const secret of [await exportSPKI(publicKey), JSON.stringify(rsa), rsa.n!]) {
      const signature = createHmac('sha256', secret).update(input).digest('base64url');
      expect(await verify(`${input}.${signature}`)).toEqual(expect.any(String));
    }
  });

  it('signed by HMAC is refused even where the issuer publishes a shared key', async () => {
    const secret = Buffer.from('0123456789abcdef0123456789abcdef');
    issuer.serve([{ kty: 'oct', k: secret.toString('base64url'), kid: 'shared', alg: 'HS256' }]);
    const token = await new SignJWT(claimsOf(issuer)).setProtectedHeader({ alg: 'HS256', kid: 'shared' }).sign(secret);
    expect(await verify(token)).toEqual(expect.any(String));
  });

  it('with an algorithm that is not pinned is refused, though the signature is right', async () => {
    expect(await verify(await issuer.sign(claimsOf(issuer)), tokens({ algorithms: ['RS256'] }))).toEqual(
      expect.stringContaining('ERR_JOSE_ALG_NOT_ALLOWED'),
    );
  });

  it.each([
    ['another issuer', { iss: 'https://elsewhere.example' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'elsewhere' }],
    ['no audience', { aud: undefined }],
    ['no end', { exp: undefined }],
    ['nobody', { sub: undefined }],
    ['an empty subject', { sub: '' }],
  ])('for %s is refused', async (_name, claims) => {
    expect(await verify(await issuer.sign(claimsOf(issuer, claims as JWTPayload)))).toEqual(expect.any(String));
  });

  it('holds until its end and the skew, and not a second longer', async () => {
    const end = seconds();
    const token = await issuer.sign(claimsOf(issuer, { exp: end }));
    expect(await tokens().verify(token, (end + 29) * 1000)).toMatchObject({ name: 'robot' });
    expect(await tokens().verify(token, (end + 30) * 1000)).toEqual(expect.stringContaining('ERR_JWT_EXPIRED'));
  });

  it('does not hold before its beginning, but for the skew', async () => {
    const from = seconds() + 100;
    const token = await issuer.sign(claimsOf(issuer, { nbf: from }));
    expect(await tokens().verify(token, (from - 31) * 1000)).toEqual(expect.any(String));
    expect(await tokens().verify(token, (from - 30) * 1000)).toMatchObject({ name: 'robot' });
  });

  it('ends within the longest lifetime, or is refused: an end in the year 9999 is none', async () => {
    const now = Date.now();
    const at = async (exp: number, with_ = tokens()) => with_.verify(await issuer.sign(claimsOf(issuer, { exp })), now);
    const latest = Math.floor(now / 1000) + 30 + 86_400;
    expect(await at(latest)).toMatchObject({ name: 'robot' });
    for (const exp of [latest + 1, 253_402_300_799, Number.MAX_SAFE_INTEGER, 1e300]) {
      expect(await at(exp)).toMatch(/^the end of the token is more than 86400 s away$/);
    }
    expect(await at(latest + 1, tokens({ maxLifetimeSeconds: 86_401 }))).toMatchObject({ name: 'robot' });
  });

  it('is not from the future, and does not end before it was issued', async () => {
    const now = Math.floor(Date.now() / 1000);
    const issued = async (iat: number, exp = now + 600) =>
      tokens().verify(await issuer.sign(claimsOf(issuer, { iat, exp })), now * 1000);
    expect(await issued(now + 30)).toMatchObject({ name: 'robot' });
    expect(await issued(now + 31)).toBe('the token was issued in the future');
    expect(await issued(now + 20, now + 10)).toBe('the token ends before it was issued');
  });

  it('does not bring control characters into records by its name', async () => {
    for (const sub of ['ro\nbot', 'root\u0000', '\u001b[2Jroot', 'a\u0085b']) {
      expect(await verify(await issuer.sign(claimsOf(issuer, { sub })))).toEqual(expect.any(String));
    }
  });

  it.each(['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'application/json'])('of the type %s is refused', async (typ) => {
    expect(await verify(await issuer.sign(claimsOf(issuer), { typ }))).toEqual(expect.any(String));
  });

  it.each(['../../../../dev/null', "' OR 1=1 --", 'key-1\u0000', '__proto__', 'constructor', ''])(
    'with the key name %j is refused',
    async (kid) => {
      expect(await verify(await issuer.sign(claimsOf(issuer), { kid }))).toEqual(expect.any(String));
    },
  );

  it('that brings its own key (jwk, jku, x5u, x5c) is refused', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const jku = 'http://127.0.0.1:9/jwks';
    for (const header of [{ jwk }, { jku }, { x5u: jku }, { x5c: ['MIIB'] }, { jwk, kid: undefined }]) {
      const token = await new SignJWT(claimsOf(issuer))
        .setProtectedHeader({ alg: 'ES256', kid: issuer.keys.kid, ...header } as never)
        .sign(privateKey);
      expect(await verify(token)).toEqual(expect.any(String));
    }
  });

  it('with an extension that must be understood (crit) is refused', async () => {
    const claims = base64(claimsOf(issuer));
    const header = { alg: 'ES256', kid: issuer.keys.kid, crit: ['exp-at-noon'], 'exp-at-noon': true };
    expect(await verify(`${base64(header)}.${claims}.${'A'.repeat(86)}`)).toEqual(expect.any(String));
    const detached = { alg: 'ES256', kid: issuer.keys.kid, crit: ['b64'], b64: false };
    expect(await verify(`${base64(detached)}.${claims}.${'A'.repeat(86)}`)).toEqual(expect.any(String));
  });

  it('whose signature is changed, cut, of zeros or of another text is refused', async () => {
    const token = await issuer.sign(claimsOf(issuer));
    const [header, claims, signature] = token.split('.') as [string, string, string];
    const richer = base64(claimsOf(issuer, { scope: 'keys:admin' }));
    for (const forged of [
      `${header}.${claims}.${signature.slice(0, -4)}AAAA`,
      `${header}.${claims}.${signature.slice(0, 20)}`,
      `${header}.${claims}.`,
      `${header}.${claims}.${'A'.repeat(86)}`,
      `${header}.${richer}.${signature}`,
    ]) {
      expect(await verify(forged)).toEqual(expect.any(String));
    }
  });

  it.each(['', '.', '..', '...', 'a.b.c', 'eyJ', `${'x'.repeat(100)}.${'y'.repeat(100)}.z`, '💣.💣.💣'])(
    'that is none (%j) is refused and is no error of the service',
    async (text) => {
      expect(await verify(text)).toEqual(expect.any(String));
    },
  );

  it('may have 8,192 characters and not one more; more are not even hashed', async () => {
    const short = await issuer.sign(claimsOf(issuer, { filler: '' }));
    const filler = 'x'.repeat(Math.floor(((8_192 - short.length) * 3) / 4) - 2);
    const long = await issuer.sign(claimsOf(issuer, { filler }));
    expect(long.length).toBeLessThanOrEqual(8_192);
    expect(await verify(long)).toMatchObject({ name: 'robot' });
    expect(await verify(`${long}${'x'.repeat(8_193 - long.length)}`)).toBe('token too long');
    expect(await verify('x'.repeat(1_000_000))).toBe('token too long');
  });

  it('encrypted instead of signed (JWE) is refused', async () => {
    expect(await verify(`${base64({ alg: 'dir', enc: 'A256GCM' })}..AAAA.AAAA.AAAA`)).toEqual(expect.any(String));
  });

  it('of one issuer is not taken for a caller of another by the same name', async () => {
    const second = await startIssuer();
    const both = tokens({ issuers: [{ issuer: issuer.url }, { issuer: second.url }] });
    expect(await both.verify(await issuer.sign(claimsOf(issuer)), Date.now())).toMatchObject({
      name: `${issuer.url}|robot`,
    });
    expect(await both.verify(await second.sign(claimsOf(second)), Date.now())).toMatchObject({
      name: `${second.url}|robot`,
    });
    // The first one's signature under the second one's name
    expect(await both.verify(await issuer.sign(claimsOf(second)), Date.now())).toEqual(expect.any(String));
    await second.stop();
  });
});

describe('the keys of an issuer', () => {
  const issuerKeys = (more: Partial<ConstructorParameters<typeof IssuerKeys>[0]>) =>
    new IssuerKeys({
      issuer: issuer.url,
      maxAgeMs: 3_600_000,
      refreshMs: 20,
      onProblem: () => undefined,
      onChange: () => undefined,
      ...more,
    });

  it('are asked for again because of an unknown key, but not at the pace of an attacker', async () => {
    const one = tokens();
    await verify(await issuer.sign(claimsOf(issuer)), one);
    const before = issuer.fetches();
    await Promise.all(
      Array.from({ length: 200 }, async (_, n) =>
        verify(await issuer.sign(claimsOf(issuer), { kid: `made-up-${n}` }), one),
      ),
    );
    expect(issuer.fetches() - before).toBeLessThanOrEqual(1);
  });

  it('are found after a rotation without a restart', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const one = tokens();
      expect(await verify(await issuer.sign(claimsOf(issuer)), one)).toMatchObject({ name: 'robot' });
      const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
      issuer.serve([issuer.keys.publicJwk, { ...(await exportJWK(publicKey)), kid: 'key-2', alg: 'ES256' }]);
      vi.advanceTimersByTime(11_000);
      const token = await new SignJWT(claimsOf(issuer))
        .setProtectedHeader({ alg: 'ES256', kid: 'key-2' })
        .sign(privateKey);
      expect(await verify(token, one)).toMatchObject({ name: 'robot' });
    } finally {
      vi.useRealTimers();
    }
  });

  it('that were fetched last stay while the issuer is away', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const one = tokens();
      await verify(await issuer.sign(claimsOf(issuer)), one);
      issuer.serve(undefined);
      vi.advanceTimersByTime(3_600_000);
      expect(await verify(await issuer.sign(claimsOf(issuer, { jti: 'another' })), one)).toMatchObject({
        name: 'robot',
      });
    } finally {
      vi.useRealTimers();
    }
  });

  it('that were fetched last go when the issuer was away for too long', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const one = tokens({ keysMaxAgeSeconds: 600 });
      const token = await issuer.sign(claimsOf(issuer));
      await verify(token, one);
      issuer.serve(undefined);
      vi.advanceTimersByTime(600_000);
      expect(await verify(token, one)).toMatchObject({ name: 'robot' });
      vi.advanceTimersByTime(1);
      await expect(verify(token, one)).rejects.toMatchObject({ code: 'identity_provider_unavailable' });
      expect(one.cached(token, Date.now())).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([[[]], [[{}]]])('are those of before where it answers without any key: %j', async (served) => {
    const problems: unknown[] = [];
    const keys = issuerKeys({ onProblem: (error) => problems.push(error) });
    await keys.find({ alg: 'ES256', kid: issuer.keys.kid }, {} as never);
    issuer.serve(served as never);
    await vi.waitFor(() =>
      expect(problems).toContainEqual(expect.objectContaining({ message: expect.stringMatching(/without any key/) })),
    );
    expect(await keys.find({ alg: 'ES256', kid: issuer.keys.kid }, {} as never)).toBeDefined();
    keys.close();
  });

  it('are fetched again and again, though nobody asks, so that a withdrawn one ends', async () => {
    const onChange = vi.fn();
    const keys = issuerKeys({ onChange });
    await keys.find({ alg: 'ES256', kid: issuer.keys.kid }, {} as never);
    const { publicKey } = await generateKeyPair('ES256', { extractable: true });
    issuer.serve([{ ...(await exportJWK(publicKey)), kid: 'key-2', alg: 'ES256' }]);
    await vi.waitFor(() => expect(onChange).toHaveBeenCalledOnce());
    await expect(keys.find({ alg: 'ES256', kid: issuer.keys.kid }, {} as never)).rejects.toThrow();
    keys.close();
  });

  it('that were never fetched are the fault of nobody who calls: 503, not 401', async () => {
    issuer.serve(undefined);
    await expect(verify(await issuer.sign(claimsOf(issuer)))).rejects.toMatchObject(
      new VerdictError('identity_provider_unavailable', 'The keys of the token issuer cannot be fetched now.'),
    );
  });

  it('of a broken or weak form are refused without a 500', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const jwk = { ...weak.publicKey.export({ format: 'jwk' }), kid: 'weak', alg: 'RS256' };
    issuer.serve([jwk as never]);
    const input = `${base64({ alg: 'RS256', kid: 'weak' })}.${base64(claimsOf(issuer))}`;
    const { sign } = await import('node:crypto');
    const signature = sign(
      'sha256',
      Buffer.from(input),
      createPrivateKey(weak.privateKey.export({ format: 'pem', type: 'pkcs8' })),
    );
    expect(await verify(`${input}.${signature.toString('base64url')}`)).toEqual(expect.any(String));
  });
});

describe('a verified token', () => {
  it('is known by its hash until it expires, and not when it was changed', async () => {
    const one = tokens();
    const end = seconds() + 60;
    const token = await issuer.sign(claimsOf(issuer, { exp: end }));
    expect(one.cached(token, Date.now())).toBeUndefined();
    const caller = await verify(token, one);
    expect(one.cached(token, Date.now())).toBe(caller);
    expect(one.cached(`${token}x`, Date.now())).toBeUndefined();
    expect(one.cached(token, (end + 30) * 1000)).toBeUndefined();
  });

  it('is verified again after five minutes, however far its end is', async () => {
    const one = tokens();
    const now = Date.now();
    const token = await issuer.sign(claimsOf(issuer, { exp: Math.floor(now / 1000) + 3_600 }));
    await one.verify(token, now);
    expect(one.cached(token, now + 299_999)).toBeDefined();
    expect(one.cached(token, now + 300_000)).toBeUndefined();
  });

  it('is verified again when the issuer changes its keys, so that a withdrawn key ends', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const one = tokens();
      const token = await issuer.sign(claimsOf(issuer));
      await verify(token, one);
      const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
      issuer.serve([{ ...(await exportJWK(publicKey)), kid: 'key-2', alg: 'ES256' }]);
      vi.advanceTimersByTime(11_000);
      await verify(
        await new SignJWT(claimsOf(issuer)).setProtectedHeader({ alg: 'ES256', kid: 'key-2' }).sign(privateKey),
        one,
      );
      expect(one.cached(token, Date.now())).toBeUndefined();
      expect(await verify(token, one)).toEqual(expect.any(String));
    } finally {
      vi.useRealTimers();
    }
  });
});
