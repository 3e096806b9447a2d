import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { exportJWK, generateKeyPair } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import { IssuerKeys } from '../../src/auth/issuer-keys.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function issuer(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function keysOf(url: string): { readonly keys: IssuerKeys; readonly problems: string[] } {
  const problems: string[] = [];
  const keys = new IssuerKeys({
    issuer: url,
    jwksUrl: `${url}/keys`,
    maxAgeMs: 60_000,
    onProblem: (error) => problems.push((error as Error).message),
    onChange: () => undefined,
  });
  return { keys, problems };
}

const asked = (keys: IssuerKeys) =>
  keys
    .find({ alg: 'ES256', kid: 'one' }, { payload: '', signature: '' })
    .finally(() => keys.close())
    .then(
      () => 'found',
      (error: { code?: string }) => error.code,
    );

describe('the keys of an issuer', () => {
  it('that stops in the middle of its answer are given up in time, also after memory was collected', async () => {
    setFlagsFromString('--expose-gc');
    const collecting = setInterval(runInNewContext('gc') as () => void, 50);
    try {
      const url = await issuer((_request, response) => {
        response.write('{"keys":[');
      });
      const { keys, problems } = keysOf(url);
      expect(await asked(keys)).toBe('identity_provider_unavailable');
      expect(problems).toEqual(['The operation was aborted due to timeout']);
    } finally {
      clearInterval(collecting);
    }
  });

  it('are not looked for where it redirects to', async () => {
    const { publicKey } = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' };
    let redirects = true;
    const url = await issuer((request, response) => {
      if (redirects && request.url === '/keys') response.writeHead(302, { location: '/elsewhere' }).end();
      else response.end(JSON.stringify({ keys: [jwk] }));
    });
    const { keys, problems } = keysOf(url);
    expect(await asked(keys)).toBe('identity_provider_unavailable');
    expect(problems).toEqual([`${url}/keys answered 302`]);
    redirects = false;
    expect(await asked(keysOf(url).keys)).toBe('found');
  });
});
