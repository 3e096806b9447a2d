/** The values of `format` that `schema.yaml` may have: each looks at a text once, in linear time. */
import { parseIpAddress } from '../matcher/functions/ip-address.js';
import { parseRfc3339 } from '../rfc3339.js';

const hostname = /^(?=.{1,253}\.?$)[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?)*\.?$/i;

export const schemaFormats: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['date-time', (text: string) => parseRfc3339(text) !== undefined],
  ['date', (text: string) => /^\d{4}-\d\d-\d\d$/.test(text) && parseRfc3339(`${text}T00:00:00Z`) !== undefined],
  ['time', (text: string) => parseRfc3339(`2000-01-01T${text}`) !== undefined],
  ['email', (text: string) => /^[^\s@]{1,64}@[^\s@]{1,255}$/.test(text)],
  ['hostname', (text: string) => text.length <= 254 && hostname.test(text)],
  ['ipv4', (text: string) => !text.includes(':') && parseIpAddress(text) !== undefined],
  ['ipv6', (text: string) => text.includes(':') && parseIpAddress(text) !== undefined],
  ['uri', (text: string) => /^[a-z][a-z\d+.-]*:[^\s<>"{}|\\^`]*$/i.test(text)],
  ['uuid', (text: string) => /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text)],
]);
