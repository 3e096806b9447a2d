/** Percent-encoded texts of URLs (RFC 3986 section 2.1), read strictly: two readers must not read two texts. */
import { isUtf8 } from 'node:buffer';

/** The text of a part of a URL, or why it has none. */
export type DecodedPart =
  | { readonly text: string; readonly fault?: never }
  | { readonly text?: never; readonly fault: string };

/**
 * Decodes a part of a URL, in which Node's parser lets only ASCII stand as it is. `%` begins two hexadecimal digits, and
 * the bytes are UTF-8, in which half of a character cannot be written.
 *
 *     decodePart('caf%C3%A9') // { text: 'café' }
 *     decodePart('%zz')       // { fault: 'a percent sign that encodes nothing' }
 *     decodePart('%ED%A0%80') // { fault: 'encoded bytes that are not UTF-8' }
 */
export function decodePart(part: string): DecodedPart {
  if (!part.includes('%')) return { text: part };
  if (/%(?![\da-f]{2})/i.test(part)) return { fault: 'a percent sign that encodes nothing' };
  const bytes = Buffer.from(
    part.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  return isUtf8(bytes) ? { text: bytes.toString('utf8') } : { fault: 'encoded bytes that are not UTF-8' };
}

/** One parameter of a query string. A value that cannot be read has a fault and no text. */
export interface QueryParameter {
  /** As it is written, if it cannot be read. */
  readonly name: string;
  readonly value: DecodedPart;
}

/**
 * Takes a query string apart as forms write it, with `+` for a blank.
 *
 *     readQuery('a=1&b=%zz') // [{ name: 'a', value: { text: '1' } }, { name: 'b', value: { fault: '…' } }]
 */
export function readQuery(query: string): QueryParameter[] {
  const parameters: QueryParameter[] = [];
  for (const parameter of query.split('&')) {
    if (parameter === '') continue;
    const sign = parameter.indexOf('=');
    const written = sign < 0 ? parameter : parameter.slice(0, sign);
    const name = decodePart(written.replaceAll('+', ' '));
    const value = sign < 0 ? { text: '' } : decodePart(parameter.slice(sign + 1).replaceAll('+', ' '));
    if (name.fault === undefined) parameters.push({ name: name.text, value });
    else parameters.push({ name: written, value: { fault: `in its name ${name.fault}` } });
  }
  return parameters;
}
