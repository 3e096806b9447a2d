import { generateKeyPairSync } from 'node:crypto';
import { exportJWK, FlattenedSign } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { BundleKeys, readSigningKey } from '../../../src/policy-store/bundle/bundle-keys.js';
import {
  signArchive,
  signIndex,
  verifiedIndex,
  verifyArchive,
} from '../../../src/policy-store/bundle/bundle-signature.js';
import { newKey, type TestKey } from './signing-keys.js';

const archive = Buffer.from('an archive\0with bytes \xff', 'latin1');
const index = '{"number": 1}';
const refusal = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

let ours: TestKey;
let foreign: TestKey;

beforeAll(async () => {
  [ours, foreign] = [await newKey(), await newKey()];
});

const header = (jws: string) => JSON.parse(Buffer.from(jws.split('.')[0]!, 'base64url').toString());
/** The signature with another protected header; it was made over the old one. */
const withHeader = (jws: string, change: object) =>
  `${Buffer.from(JSON.stringify({ ...header(jws), ...change })).toString('base64url')}..${jws.split('.')[2]}`;

describe.each(['ed25519', 'p256'] as const)('signatures by %s', (kind) => {
  it('of an archive verify with the public key', async () => {
    const { signing, keys } = await newKey(kind);
    const jws = await signArchive(archive, signing);
    expect(header(jws)).toEqual({
      alg: kind === 'ed25519' ? 'EdDSA' : 'ES256',
      kid: signing.kid,
      typ: 'verdict-bundle',
      b64: false,
      crit: ['b64'],
    });
    expect(await verifyArchive(archive, jws, keys, 'invoices')).toBe(signing.kid);
    expect(await verifyArchive(archive, `${jws}\n`, keys, 'invoices')).toBe(signing.kid);
  });

  it('of an index verify with the public key', async () => {
    const { signing, keys } = await newKey(kind);
    expect(await verifiedIndex(await signIndex(index, signing), keys)).toEqual({ text: index, isSigned: true });
  });
});

describe('the signature of an archive', () => {
  it('is refused over other bytes, whichever one is changed', async () => {
    const jws = await signArchive(archive, ours.signing);
    for (let at = 0; at < archive.length; at++) {
      const changed = Buffer.from(archive);
      changed[at]! ^= 1;
      await expect(verifyArchive(changed, jws, ours.keys, 'x')).rejects.toThrow(refusal('bundle_signature_invalid'));
    }
    await expect(verifyArchive(archive.subarray(1), jws, ours.keys, 'x')).rejects.toThrow(/not one of the key/);
  });

  it('is refused by a foreign key, which is named', async () => {
    const jws = await signArchive(archive, foreign.signing);
    await expect(verifyArchive(archive, jws, ours.keys, 'x')).rejects.toThrow(
      refusal('bundle_key_unknown', new RegExp(foreign.signing.kid)),
    );
  });

  it('is refused by a foreign key that claims the id of ours', async () => {
    const jws = await signArchive(archive, { ...foreign.signing, kid: ours.signing.kid });
    await expect(verifyArchive(archive, jws, ours.keys, 'x')).rejects.toThrow(refusal('bundle_signature_invalid'));
  });

  it.each([
    ['no algorithm', { alg: 'none' }, /alg is not EdDSA or Ed25519/],
    ['a shared secret', { alg: 'HS256' }, /alg/],
    ['the algorithm of another key', { alg: 'ES256' }, /alg/],
    ['another typ', { typ: 'JWT' }, /typ/],
    ['no typ', { typ: undefined }, /typ/],
    ['a payload in base64', { b64: true }, /b64/],
    ['a key of its own', { jwk: { kty: 'OKP' }, kid: undefined }, /names no key/],
    ['an extension that must be understood', { crit: ['b64', 'exp'], exp: 1 }, /./],
  ])('is refused with %s in its header', async (_, change, message) => {
    const jws = withHeader(await signArchive(archive, ours.signing), change);
    await expect(verifyArchive(archive, jws, ours.keys, 'x')).rejects.toThrow(message);
  });

  it('is refused where it is that of an index, and the other way round', async () => {
    const signed = JSON.parse(await signIndex(archive.toString('latin1'), ours.signing));
    const asArchive = `${signed.protected}..${signed.signature}`;
    await expect(verifyArchive(Buffer.from(signed.payload, 'base64url'), asArchive, ours.keys, 'x')).rejects.toThrow(
      refusal('bundle_signature_invalid', /typ is not verdict-bundle/),
    );
    const { protected: head, signature } = await new FlattenedSign(Buffer.from(index))
      .setProtectedHeader({ alg: 'EdDSA', kid: ours.signing.kid, typ: 'verdict-bundle' })
      .sign(ours.signing.key);
    const asIndex = JSON.stringify({ protected: head, payload: Buffer.from(index).toString('base64url'), signature });
    await expect(verifiedIndex(asIndex, ours.keys)).rejects.toThrow(
      refusal('bundle_signature_invalid', /typ is not verdict-bundle-index/),
    );
  });

  it.each(['', '..', 'a.b.c', 'eyJ9..c2ln', '{}', 'a..b..c'])('is refused where it is %j', async (text) => {
    await expect(verifyArchive(archive, text, ours.keys, 'x')).rejects.toThrow(refusal('bundle_signature_invalid'));
  });
});

describe('a signed index', () => {
  it('is read without its signature where no keys are configured', async () => {
    expect(await verifiedIndex(await signIndex(index, ours.signing), undefined)).toEqual({
      text: index,
      isSigned: true,
    });
    expect(await verifiedIndex(index, undefined)).toEqual({ text: index, isSigned: false });
  });

  it('is refused where its signature was stripped', async () => {
    await expect(verifiedIndex(index, ours.keys)).rejects.toThrow(refusal('bundle_unsigned'));
    const { payload } = JSON.parse(await signIndex(index, ours.signing));
    await expect(verifiedIndex(JSON.stringify({ payload }), ours.keys)).rejects.toThrow(refusal('bundle_unsigned'));
  });

  it('is refused with another payload', async () => {
    const signed = JSON.parse(await signIndex(index, ours.signing));
    const payload = Buffer.from('{"number": 2}').toString('base64url');
    await expect(verifiedIndex(JSON.stringify({ ...signed, payload }), ours.keys)).rejects.toThrow(
      refusal('bundle_signature_invalid'),
    );
  });

  it('is refused by a foreign key', async () => {
    const signed = await signIndex(index, foreign.signing);
    await expect(verifiedIndex(signed, ours.keys)).rejects.toThrow(refusal('bundle_key_unknown'));
  });

  it.each(['', 'null', '7', '"x"', '[]'])('is refused where it is %j', async (text) => {
    await expect(verifiedIndex(text, ours.keys)).rejects.toThrow(
      refusal(text === '' ? 'bundle_index_invalid' : 'bundle_unsigned'),
    );
  });
});

describe('keys', () => {
  it('are read from several PEM blocks, a JWK and a JWKS, together for a rotation', async () => {
    const [old, next] = [await newKey(), await newKey('p256')];
    const jwk = { ...(await exportJWK(ours.signing.verification.key)), kid: 'ours' };
    const keys = await BundleKeys.read([
      { place: 'keys.pem', text: `old:\n${old.publicPem}\nnew:\n${next.publicPem}` },
      { place: 'jwks', text: JSON.stringify({ keys: [jwk] }) },
      { place: 'jwk', text: JSON.stringify(await exportJWK(foreign.signing.verification.key)) },
    ]);
    expect(keys.ids).toEqual(['ours', old.signing.kid, next.signing.kid, foreign.signing.kid].sort());
    for (const { signing } of [old, next, { signing: { ...ours.signing, kid: 'ours' } }]) {
      await verifyArchive(archive, await signArchive(archive, signing), keys, 'x');
    }
  });

  it('of other kinds and uses are left out of a JWKS', async () => {
    const rsa = await exportJWK(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey);
    const ec = await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey);
    const jwk = await exportJWK(ours.signing.verification.key);
    const others = [rsa, ec, { kty: 'new' }, { ...jwk, kid: 'e', use: 'enc' }, { ...jwk, kid: 'a', alg: 'ES256' }];
    const read = (list: object[]) => BundleKeys.read([{ place: 'jwks', text: JSON.stringify({ keys: list }) }]);
    expect((await read([...others, jwk])).ids).toEqual([ours.signing.kid]);
    await expect(read(others)).rejects.toThrow(refusal('bundle_keys_invalid', /no Ed25519 or P-256/));
  });

  it('are refused where they are private, and not repeated', async () => {
    const jwk = JSON.stringify(await exportJWK(foreign.signing.key));
    for (const text of [foreign.privatePem, jwk, `{"keys": [${jwk}]}`]) {
      await expect(BundleKeys.read([{ place: 'keys', text }])).rejects.toThrow(
        /keys cannot be used: it holds a private key/,
      );
    }
  });

  it('are refused where two have one id', async () => {
    const named = async ({ signing }: TestKey) => ({ ...(await exportJWK(signing.verification.key)), kid: 'k' });
    const text = JSON.stringify({ keys: [await named(ours), await named(foreign)] });
    await expect(BundleKeys.read([{ place: 'keys', text }])).rejects.toThrow(/two keys have the id k/);
    const same = JSON.stringify({ keys: [await named(ours), await named(ours)] });
    expect((await BundleKeys.read([{ place: 'keys', text: same }])).ids).toEqual(['k']);
  });

  it.each([
    '',
    'nonsense',
    '{',
    '{"keys": {}}',
    '{"keys": [1]}',
    '-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----',
  ])('are refused where they are %j', async (text) => {
    await expect(BundleKeys.read([{ place: 'keys', text }])).rejects.toThrow(refusal('bundle_keys_invalid', /^keys /));
  });

  it('that sign are Ed25519 or P-256, and no message repeats them', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const pem = rsa.export({ type: 'pkcs8', format: 'pem' }) as string;
    await expect(readSigningKey(pem, 'key.pem')).rejects.toThrow(/key.pem cannot be used: the key that signs must be/);
    await expect(readSigningKey('hunter2', 'key.pem')).rejects.toThrow(/^(?!.*hunter2).*not a private key/);
    const jwk = JSON.stringify({ ...(await exportJWK(ours.signing.key)), kid: 'ci-2026' });
    expect((await readSigningKey(jwk, 'key.json')).kid).toBe('ci-2026');
  });
});
