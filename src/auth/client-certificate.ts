import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/**
 * The names in the certificate that a client showed on its connection, as `VERDICT_API_KEYS_FILE` writes them: every
 * subject alternative name (`URI:spiffe://acme/shop`, `DNS:shop.internal`) and the whole subject (`CN=shop,O=Acme`).
 * Undefined when it showed none; the text says why when the client CA does not vouch for it.
 */
export function certificateNames(socket: Socket): readonly string[] | string | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const known = namesOf.get(socket);
  if (known !== undefined) return known;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const { subject, subjectAltName = '' } = certificate;
  const names = socket.authorized
    ? // Names with a comma or a quote are quoted and hard to parse safely; none is accepted.
      [...(subjectAltName.includes('"') ? [] : subjectAltName.split(', ')), subject.split('\n').reverse().join(',')]
    : `certificate not accepted: ${socket.authorizationError}`;
  namesOf.set(socket, names);
  return names;
}

const namesOf = new WeakMap<TLSSocket, readonly string[] | string>();
