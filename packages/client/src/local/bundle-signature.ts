/** The signature of a bundle: a detached JWS (RFC 7797) by Ed25519, `<protected>..<signature>`. */

/** The public keys whose signatures count, as `/v1/decisions/keys` lists them. */
export interface LogKeys {
  readonly keys: readonly { readonly key: string }[];
}

/** A key under the id that signatures name. */
interface TrustedKey {
  readonly kid: string;
  /** The public key, 32 bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The kind of signature that stands before a public key (C2SP signed-note). */
const ed25519 = 1;

/**
 * Reads keys: `name+id+base64`.
 *
 * @throws TypeError for what is no key
 */
export function trustedKeys({ keys }: LogKeys): readonly TrustedKey[] {
  if (!Array.isArray(keys) || keys.length === 0) throw new TypeError('keys is what /v1/decisions/keys answers');
  return keys.map(({ key }) => {
    const [, name, id, body] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(String(key)) ?? [];
    const bytes = body === undefined ? undefined : bytesOf(body);
    if (name === undefined || id === undefined || bytes?.length !== 33 || bytes[0] !== ed25519) {
      throw new TypeError('each of keys is a key as /v1/decisions/keys lists it');
    }
    return { kid: `${name}+${id}`, bytes: bytes.slice(1) };
  });
}

/** Says why a signature is refused; undefined if it is right. */
export async function faultInSignature(
  body: Uint8Array<ArrayBuffer>,
  signature: string | null,
  keys: readonly TrustedKey[],
): Promise<string | undefined> {
  if (signature === null) return 'it is not signed, and keys are given';
  const [, header, value] = /^([\w-]+)\.\.([\w-]+)$/.exec(signature) ?? [];
  if (header === undefined || value === undefined) return 'its signature is no detached JWS';
  const said = parsed(header);
  const key = keys.find(({ kid }) => kid === said.kid);
  if (said.typ !== 'verdict-local-bundle') return 'something else was signed';
  if (said.b64 !== false || JSON.stringify(said.crit) !== '["b64"]') return 'its signature is not over its bytes';
  if (key === undefined) return 'its key is not among those that are given';
  if (said.alg !== 'EdDSA' && said.alg !== 'Ed25519') return 'it is signed otherwise than by Ed25519';
  const input = new Uint8Array(header.length + 1 + body.length);
  input.set(new TextEncoder().encode(`${header}.`));
  input.set(body, header.length + 1);
  const algorithm = { name: 'Ed25519' };
  const publicKey = await crypto.subtle.importKey('raw', key.bytes, algorithm, false, ['verify']);
  const isRight = await crypto.subtle.verify(algorithm, publicKey, bytesOf(value), input);
  return isRight ? undefined : 'its signature is not over these bytes';
}

function parsed(header: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytesOf(header)));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Bytes of base64, plain or for URLs. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const plain = text.replaceAll('-', '+').replaceAll('_', '/');
  return Uint8Array.from(atob(plain), (character) => character.charCodeAt(0));
}
