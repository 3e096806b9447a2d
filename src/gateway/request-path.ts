/**
 * The path of a request, read once and strictly (RFC 3986, WHATWG URL). A path that another reader could take for a
 * different one is refused, since the server behind the gateway may be that reader.
 */
import { defaultPathReading, type PathReading } from '../core/manifest/gateway-paths.js';
import { type DecodedPart, decodePart, type QueryParameter, readQuery } from '../http/percent-encoding.js';

export interface RequestPath {
  /** Decoded, without dot segments and empty segments: `/orders/42`. */
  readonly text: string;
  /** Its segments; the last is empty when the path ends with a slash. */
  readonly segments: readonly string[];
  readonly query: readonly QueryParameter[];
}

/**
 * Reads the target of a request, as the client sent it.
 *
 *     readRequestPath('/a/./b//c%20d?x=1')   // text '/a/b/c d', segments ['a', 'b', 'c d']
 *     readRequestPath('/public/%2e%2e/admin') // 'an encoded dot segment'
 *
 * @param reading which paths the server behind the gateway treats as equal
 * @returns the path, or a text that says why it is ambiguous
 */
export function readRequestPath(target: string, reading: PathReading = defaultPathReading): RequestPath | string {
  const [path = '', ...query] = target.split('?');
  if (!path.startsWith('/')) return 'a target that does not begin with a slash';
  const raw = path.slice(1).split('/');
  const fault = faultInCharacters(target, path) ?? faultInStructure(raw);
  if (fault !== undefined) return fault;
  const segments: string[] = [];
  for (const [index, segment] of raw.entries()) {
    const isLast = index === raw.length - 1;
    if (segment === '..') segments.pop();
    else if (segment !== '.' && segment !== '') {
      const decoded = decodeSegment(segment);
      if (decoded.fault !== undefined) return decoded.fault;
      if (reading.parameters === 'refuse' && decoded.text.includes(';')) return 'a path parameter (";")';
      const text = reading.segment(decoded.text);
      if (text === '') return 'a segment of dots and blanks alone';
      segments.push(text);
      continue;
    }
    // A path that ends with a slash, or with a dot segment, is a folder's (RFC 3986, section 5.2.4).
    if (isLast && (reading.slash === 'keep' || segments.length === 0)) segments.push('');
  }
  return { text: `/${segments.join('/')}`, segments, query: readQuery(query.join('?')) };
}

/** Refuses characters that RFC 3986 does not allow in a path; servers treat them differently. */
function faultInCharacters(target: string, path: string): string | undefined {
  if (/[^\x21-\x7e]/.test(target)) return 'a space, a control character or a character beyond ASCII';
  if (path.includes('\\')) return 'a backslash';
  if (target.includes('#')) return 'a fragment';
  return undefined;
}

function faultInStructure(segments: readonly string[]): string | undefined {
  const dots = segments.some((segment) => segment === '.' || segment === '..');
  // Merging slashes first and removing dot segments first lead to different places: /a//../b is /b or /a/b.
  if (dots && segments.slice(0, -1).includes('')) return 'dot segments beside empty segments';
  // Java servers cut what follows the semicolon and then see a dot segment.
  if (segments.some((segment) => /^\.\.?;/.test(segment))) return 'a dot segment with a parameter';
  return undefined;
}

function decodeSegment(segment: string): DecodedPart {
  if (!segment.includes('%')) return { text: segment };
  const decoded = decodePart(segment);
  if (decoded.fault !== undefined) return decoded;
  const { text } = decoded;
  if (text.includes('/')) return { fault: 'an encoded slash' };
  if (text.includes('\\')) return { fault: 'an encoded backslash' };
  if (/^\.\.?(;|$)/.test(text)) return { fault: 'an encoded dot segment' };
  // Windows drops the blanks, and what is left is a dot segment.
  if (/^\.\.?\s+$/.test(text)) return { fault: 'a dot segment with a blank' };
  if (/\p{Cc}/u.test(text)) return { fault: 'an encoded control character' };
  // A server that decodes twice would see another path. A percent sign by itself (`100%25`) is one character to everybody.
  if (/%[\da-f]{2}/i.test(text)) return { fault: 'a character that is encoded twice' };
  return { text };
}
