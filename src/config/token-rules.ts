/** Rules for access tokens, checked by the configuration and again where tokens are read. */

/**
 * Algorithms with a private key only. An HMAC key would have to be shared, and confusing the two kinds is a known
 * attack.
 */
export const tokenAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/**
 * True for HTTPS, and for plain HTTP on this machine. Over other plain HTTP, anyone in between could replace the keys.
 */
export function isTrustworthyUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || (protocol === 'http:' && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname));
}
