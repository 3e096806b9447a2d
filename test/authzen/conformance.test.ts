/** The project's own conformance runner against the built service, over real sockets: in the plain, and as it would stand on a network. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeAuthority } from '../security/certificates.js';
import { type BuiltService, fixtureSet, freePort, startBuiltService } from './built-service.js';

// Plain JavaScript, so that it runs without a build: `npm run conformance:authzen`.
const { runConformance } = await import('./conformance.mjs' as string);
const { Client } = await import('./conformance/client.mjs' as string);

interface Result {
  readonly outcome: 'passed' | 'skipped' | 'failed';
  readonly section: string;
  readonly says: string;
  readonly reason?: string;
}

const show = ({ section, says, reason }: Result) => `${section} ${says}: ${reason}`;
const certification = (name: string) => fixtureSet('authzen-certification', name);

let service: BuiltService | undefined;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'verdict-conformance-'));
});
afterEach(async () => {
  await service?.stop();
  service = undefined;
  rmSync(directory, { recursive: true, force: true });
});

describe('the Authorization API 1.0', () => {
  it('is met over TLS, with authentication and signed metadata', async () => {
    const authority = await makeAuthority('conformance');
    const { cert, key } = await authority.issue('localhost', { server: true });
    writeFileSync(join(directory, 'cert.pem'), cert);
    writeFileSync(join(directory, 'key.pem'), key);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(join(directory, 'signing.pem'), pem);
    service = await startBuiltService(certification('default'), {
      VERDICT_TLS_CERT: join(directory, 'cert.pem'),
      VERDICT_TLS_KEY: join(directory, 'key.pem'),
      VERDICT_AUTHZEN_SIGNING_KEY_FILE: join(directory, 'signing.pem'),
      VERDICT_AUTH_FAILURE_LIMIT: '10000/s',
    });
    const results: Result[] = await runConformance(
      new Client(service.url, { token: service.token, ca: authority.cert }),
    );
    expect(results.filter(({ outcome }) => outcome !== 'passed').map(show)).toEqual([]);
    expect(results.length).toBeGreaterThan(150);
  });

  it('is met below /sets/{set} where no set is the default', async () => {
    const port = await freePort();
    service = await startBuiltService(
      { ...certification('records'), ...certification('other') },
      { VERDICT_PORT: String(port), VERDICT_AUTH_FAILURE_LIMIT: '10000/s' },
    );
    const results: Result[] = await runConformance(
      new Client(`http://127.0.0.1:${port}/sets/records`, { token: service.token }),
    );
    expect(results.filter(({ outcome }) => outcome === 'failed').map(show)).toEqual([]);
  });
});
