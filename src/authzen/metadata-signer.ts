import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, type JWK, SignJWT } from 'jose';
import type { AuthzenMetadata } from './metadata.js';

/**
 * Signs metadata (section 9.1.3), so that a client with the public key need not trust proxies.
 *
 *     const signer = await MetadataSigner.of(pem);
 *     await signer.sign(metadataOf(url, undefined)); // a JWT, the same one until the metadata changes
 */
export class MetadataSigner {
  private readonly signed = new Map<string, Promise<string>>();

  private constructor(
    private readonly key: KeyObject,
    private readonly algorithm: string,
    /** The public key, as the JWKS shows it. */
    readonly publicKey: JWK,
  ) {}

  /** @throws Error if the text is not a private key in PEM, or its kind cannot sign */
  static async of(pem: string): Promise<MetadataSigner> {
    const key = createPrivateKey(pem);
    const algorithm = algorithmOf(key);
    const jwk = await exportJWK(createPublicKey(key));
    const publicKey = { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: algorithm, use: 'sig' };
    return new MetadataSigner(key, algorithm, Object.freeze(publicKey));
  }

  /** The metadata as claims, with the issuer that 9.1.3 asks for. Signed once: a client that caches sees no change. */
  sign(metadata: AuthzenMetadata): Promise<string> {
    const issuer = metadata.policy_decision_point;
    let signed = this.signed.get(issuer);
    if (signed === undefined) {
      signed = new SignJWT({ ...metadata })
        .setProtectedHeader({ alg: this.algorithm, kid: this.publicKey.kid!, typ: 'JWT' })
        .setIssuer(issuer)
        .setIssuedAt()
        .sign(this.key);
      this.signed.set(issuer, signed);
    }
    return signed;
  }
}

function algorithmOf(key: KeyObject): string {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return 'EdDSA';
    case 'rsa':
      return 'PS256';
    case 'ec':
      if (curve === 'prime256v1') return 'ES256';
      if (curve === 'secp384r1') return 'ES384';
      if (curve === 'secp521r1') return 'ES512';
  }
  throw new Error('the key that signs metadata must be Ed25519, RSA, or on the curve P-256, P-384 or P-521');
}
