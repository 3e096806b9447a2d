/** Keys of the tests of bundles, new in each run. */
import { generateKeyPairSync } from 'node:crypto';
import { BundleKeys, readSigningKey, type SigningKey } from '../../../src/policy-store/bundle/bundle-keys.js';

export interface TestKey {
  readonly privatePem: string;
  readonly publicPem: string;
  readonly signing: SigningKey;
  readonly keys: BundleKeys;
}

export async function newKey(kind: 'ed25519' | 'p256' = 'ed25519'): Promise<TestKey> {
  const pair = kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const privatePem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const publicPem = pair.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const signing = await readSigningKey(privatePem, 'key');
  return { privatePem, publicPem, signing, keys: BundleKeys.of([signing.verification]) };
}
