import { createPrivateKey, type KeyObject } from 'node:crypto';

/** The Ed25519 private keys in a text of PEM blocks, in order; undefined if it is empty or holds anything else. */
export function ed25519KeysIn(text: string): KeyObject[] | undefined {
  const blocks = text.match(/-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----/g) ?? [];
  const rest = blocks.reduce((left, block) => left.replace(block, ''), text);
  if (blocks.length === 0 || rest.trim() !== '') return undefined;
  try {
    const keys = blocks.map((block) => createPrivateKey(block));
    return keys.every(({ asymmetricKeyType }) => asymmetricKeyType === 'ed25519') ? keys : undefined;
  } catch {
    return undefined;
  }
}
