import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TrustedKeys } from '../../../src/policy-store/bundle/trusted-keys.js';
import { temporaryDirectory } from '../folders.js';
import { newKey, type TestKey } from './signing-keys.js';

let one: TestKey;
let two: TestKey;

beforeAll(async () => {
  [one, two] = [await newKey(), await newKey('p256')];
});

describe('keys in files', () => {
  it('are read anew each time', async () => {
    const file = join(temporaryDirectory(), 'keys.pem');
    writeFileSync(file, one.publicPem);
    const keys = new TrustedKeys([file]);
    expect((await keys.current()).ids).toEqual([one.signing.kid]);
    writeFileSync(file, two.publicPem);
    expect((await keys.current()).ids).toEqual([two.signing.kid]);
    rmSync(file);
    await expect(keys.current()).rejects.toMatchObject({ code: 'bundle_keys_invalid', message: /ENOENT/ });
  });

  it('of several places count together', async () => {
    const files = [one, two].map(({ publicPem }) => {
      const file = join(temporaryDirectory(), 'keys.pem');
      writeFileSync(file, publicPem);
      return file;
    });
    expect((await new TrustedKeys(files).current()).ids).toEqual([one.signing.kid, two.signing.kid].sort());
  });

  it('have 512 KiB at most', async () => {
    const file = join(temporaryDirectory(), 'keys.pem');
    writeFileSync(file, one.publicPem.padEnd(512 * 1024));
    expect((await new TrustedKeys([file]).current()).ids).toEqual([one.signing.kid]);
    writeFileSync(file, one.publicPem.padEnd(512 * 1024 + 1));
    await expect(new TrustedKeys([file]).current()).rejects.toThrow(/not a small file/);
  });
});

describe('keys of a JWKS', () => {
  let server: Server;
  let answer: { status: number; body: string };
  let asked = 0;
  let now = 0;
  let keys: TrustedKeys;

  beforeEach(async () => {
    asked = 0;
    now = 0;
    server = createServer((_, response) => {
      asked++;
      response.writeHead(answer.status).end(answer.body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
    keys = new TrustedKeys([url], { now: () => now });
  });

  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  const jwks = async (...own: TestKey[]) => ({
    status: 200,
    body: JSON.stringify({ keys: await Promise.all(own.map(({ signing }) => exportJWK(signing.verification.key))) }),
  });

  it('are fetched once a minute, so that a key which was withdrawn counts no longer', async () => {
    answer = await jwks(one, two);
    expect((await keys.current()).ids).toHaveLength(2);
    answer = await jwks(two);
    now = 59_999;
    expect((await keys.current()).ids).toHaveLength(2);
    expect(asked).toBe(1);
    now = 60_000;
    expect((await keys.current()).ids).toEqual([two.signing.kid]);
    expect(asked).toBe(2);
  });

  it.each([
    ['an error', { status: 503, body: '' }],
    ['no key', { status: 200, body: '{"keys": []}' }],
    ['something else', { status: 200, body: '<html>' }],
    ['too much', { status: 200, body: ' '.repeat(512 * 1024 + 1) }],
  ])('count for a day while the server answers %s', async (_, broken) => {
    answer = await jwks(one);
    await keys.current();
    answer = broken;
    const day = 24 * 3_600_000;
    now = day;
    expect((await keys.current()).ids).toEqual([one.signing.kid]);
    // It was tried just now, and is tried again a minute later.
    now = day + 59_999;
    expect((await keys.current()).ids).toEqual([one.signing.kid]);
    now = day + 60_000;
    await expect(keys.current()).rejects.toMatchObject({ code: expect.stringMatching(/^bundle_/) });
    answer = await jwks(two);
    expect((await keys.current()).ids).toEqual([two.signing.kid]);
  });

  it('are none before they were fetched once', async () => {
    answer = { status: 404, body: '' };
    await expect(keys.current()).rejects.toMatchObject({ code: 'bundle_missing' });
  });
});
