import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certificateNames } from '../../src/auth/client-certificate.js';
import { type Authority, type Issued, makeAuthority } from '../security/certificates.js';

let authority: Authority;
let server: Server;

beforeAll(async () => {
  authority = await makeAuthority('Verdict test CA');
  const own = await authority.issue('localhost', { server: true });
  server = createServer({ ...own, ca: authority.cert, requestCert: true, rejectUnauthorized: false });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

async function namesOf(client: Partial<Issued>): Promise<ReturnType<typeof certificateNames>> {
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', port, ca: authority.cert, ...client });
  socket.on('error', () => undefined);
  const [peer] = await accepted;
  const names = certificateNames(peer);
  expect(certificateNames(peer)).toBe(names);
  socket.destroy();
  return names;
}

describe('a client certificate', () => {
  it('names its caller by the whole subject and every alternative name', async () => {
    expect(await namesOf(await authority.issue('shop'))).toContain('CN=shop');
    const withUri = await authority.issue('shop', { uri: 'spiffe://acme/shop' });
    expect(await namesOf(withUri)).toEqual(['URI:spiffe://acme/shop', 'CN=shop']);
  });

  it('does not name somebody else by a name with a comma in it', async () => {
    const forged = await authority.issue('shop', { uri: 'https://x.example/, URI:spiffe://acme/admin' });
    expect(await namesOf(forged)).toEqual(['CN=shop']);
  });

  it('that has expired, or that another authority signed, names nobody', async () => {
    const expired = await authority.issue('shop', { notAfter: new Date(Date.now() - 60_000) });
    expect(await namesOf(expired)).toBe('certificate not accepted: CERT_HAS_EXPIRED');
    const stranger = await makeAuthority('Verdict test CA');
    expect(await namesOf(await stranger.issue('shop'))).toEqual(expect.stringMatching(/^certificate not accepted/));
  });

  it('may be left out', async () => {
    expect(await namesOf({})).toBeUndefined();
  });
});
