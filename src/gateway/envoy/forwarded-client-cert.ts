/**
 * The certificate that a client showed to Envoy, as Envoy's header `X-Forwarded-Client-Cert` tells it:
 *
 *     By=spiffe://acme/edge;Hash=468e…;Subject="CN=shop,O=Acme";URI=spiffe://acme/shop;DNS=shop.internal
 *
 * Values with `,`, `;`, `=` or `"` are quoted, with `\"` for a quotation mark. Several proxies make several elements,
 * with commas between them. See "x-forwarded-client-cert" in Envoy's documentation of HTTP headers.
 */
import { VerdictError } from '../../errors.js';

/**
 * The name of the client: its URI (SPIFFE), else its DNS name, else its subject; as Envoy names it over gRPC. Undefined if
 * there is none, or several.
 *
 *     certificateNameIn('Hash=46;Subject="CN=shop,O=Acme";URI=spiffe://acme/shop')   // 'spiffe://acme/shop'
 *
 * @throws VerdictError `malformed_request` for several elements, of which the client may have written one
 */
export function certificateNameIn(header: string): string | undefined {
  const values = new Map<string, string[]>();
  let at = 0;
  while (at < header.length) {
    const pair = /^([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^,;"]*)(;|,|$)/.exec(header.slice(at, at + longestPair));
    if (pair === null) throw malformed('is malformed');
    const [whole, key = '', text = '', end] = pair;
    if (end === ',') throw malformed('has more than one element');
    const value = text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;
    const name = key.toLowerCase();
    values.set(name, [...(values.get(name) ?? []), value]);
    at += whole.length;
  }
  for (const name of ['uri', 'dns', 'subject']) {
    const found = values.get(name)?.filter((value) => value !== '') ?? [];
    if (found.length > 0) return name === 'uri' && found.length > 1 ? undefined : found[0];
  }
  return undefined;
}

/** Longest pair in characters. Envoy sends certificates in the header only if it is told to. */
const longestPair = 8_192;

function malformed(fault: string): VerdictError {
  return new VerdictError('malformed_request', `The header X-Forwarded-Client-Cert ${fault}.`);
}
