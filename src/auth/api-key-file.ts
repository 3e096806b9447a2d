/** API keys and client certificates as `VERDICT_API_KEYS_FILE` declares them. */

import { addressList } from '../config/address-list.js';
import { readYaml, type YamlNode } from '../core/manifest/yaml-document.js';
import { PolicyError, type PolicyProblem } from '../core/problem.js';
import { quote } from '../core/quote.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import type { ApiKey } from './api-key-entry.js';
import { parseScope } from './scopes.js';

const keyFields = [
  'name',
  'owner',
  'sha256',
  'certificate',
  'scopes',
  'sets',
  'expires',
  'addresses',
  'dailyQuota',
] as const;
const digestFormat = /^[0-9a-f]{64}$/;
const nameFormat = /^[\x21-\x39\x3b-\x7e]{1,128}$/;
const dateFormat = /^\d{4}-\d{2}-\d{2}$/;

export interface DeclaredCaller {
  readonly key: ApiKey;
  /** SHA-256 digests of its secrets: one, or two while it is rotated. */
  readonly digests: readonly string[];
  /** Subjects or subject alternative names (`CN=shop`, `URI:spiffe://…`, `DNS:…`) of certificates that name it. */
  readonly certificates: readonly string[];
}

/**
 * Reads a list of callers, alone or under `keys`:
 *
 *     - name: shop
 *       sha256: 9f86d081…          # `verdict keys hash` makes an entry
 *       scopes: [decide, decisions:read]
 *       sets: [invoices]           # limits every scope; without it, all sets
 *       expires: 2027-06-30
 *       addresses: [10.0.0.0/8]
 *
 * @throws PolicyError with every problem and its place
 */
export function readApiKeyFile(file: string, text: string): readonly DeclaredCaller[] {
  const problems: PolicyProblem[] = [];
  const root = readYaml({ file, text }, (problem) => problems.push(problem));
  const list = root?.isMapping === true ? root.knownMembers('the file', ['keys'])?.keys : root;
  const callers = (list?.items('the list of keys') ?? []).flatMap((node) => readCaller(node) ?? []);
  const names = new Set<string>();
  for (const { key } of callers) {
    if (names.has(key.name)) list?.refuse('duplicate_key', `two keys have the name ${quote(key.name)}`);
    names.add(key.name);
  }
  // A copied entry is one mistake and is reported once.
  for (const shared of problems.length > 0
    ? []
    : twiceIn(callers.map(({ digests, certificates }) => [...digests, ...certificates]))) {
    list?.refuse('duplicate_key', `two keys have the digest or certificate "${shared}": whose would it be?`);
  }
  if (problems.length > 0) throw new PolicyError(problems);
  return Object.freeze(callers);
}

/**
 * The names that no managed key may have, in lower case: those of declared callers and of their certificates. Names that
 * differ in case alone are taken for one.
 */
export function declaredNames(callers: readonly DeclaredCaller[]): ReadonlySet<string> {
  return new Set(
    callers.flatMap(({ key, certificates }) => [key.name, ...certificates]).map((name) => name.toLowerCase()),
  );
}

/** Texts that more than one of the lists holds. */
function twiceIn(lists: readonly (readonly string[])[]): ReadonlySet<string> {
  const once = new Set<string>();
  const twice = new Set<string>();
  for (const each of lists.flatMap((list) => [...new Set(list)])) (once.has(each) ? twice : once).add(each);
  return twice;
}

function readCaller(node: YamlNode): DeclaredCaller | undefined {
  const fields = node.knownMembers('a key', keyFields);
  if (fields === undefined) return undefined;
  const name = readName(fields.name ?? missing(node, 'name'));
  const scopes = (fields.scopes ?? missing(node, 'scopes'))?.texts('scopes') ?? [];
  for (const scope of scopes.filter((text) => parseScope(text) === undefined)) {
    fields.scopes?.refuse('unknown_scope', `there is no scope ${quote(scope)}`);
  }
  const digests = fields.sha256 === undefined ? [] : oneOrMore(fields.sha256, 'sha256');
  for (const digest of digests.filter((text) => !digestFormat.test(text))) {
    fields.sha256?.refuse('wrong_value', `${quote(digest)} is not a SHA-256 digest: 64 hexadecimal digits`);
  }
  const certificates = fields.certificate === undefined ? [] : oneOrMore(fields.certificate, 'certificate');
  if (digests.length + certificates.length === 0) node.refuse('missing_value', 'a key needs "sha256" or "certificate"');
  const addresses = fields.addresses?.texts('addresses');
  if (addresses !== undefined) refuseWrongAddresses(fields.addresses!, addresses);
  const owner = fields.owner?.text('owner');
  const policySets = fields.sets?.texts('sets');
  const expires = fields.expires === undefined ? undefined : readTime(fields.expires);
  const dailyQuota = fields.dailyQuota?.positiveInteger('dailyQuota');
  if (name === undefined) return undefined;
  const key: ApiKey = {
    name,
    scopes,
    ...(owner !== undefined && { owner }),
    ...(policySets !== undefined && { policySets }),
    ...(expires !== undefined && { expires }),
    ...(addresses !== undefined && { addresses }),
    ...(dailyQuota !== undefined && { dailyQuota }),
  };
  return { key, digests, certificates };
}

/** Names stand in headers of HTTP Basic, so they hold no colon and nothing that must be escaped. */
export function isKeyName(name: string): boolean {
  return nameFormat.test(name);
}

function readName(node: YamlNode | undefined): string | undefined {
  const name = node?.text('name');
  if (name === undefined || isKeyName(name)) return name;
  return node?.refuse('wrong_value', 'a name is 1 to 128 printable ASCII characters without space and colon');
}

/** When a key ends, in milliseconds since 1970: RFC 3339, or the beginning of a day in UTC; undefined for any other text. */
export function expiryOf(text: string): number | undefined {
  return parseRfc3339(dateFormat.test(text) ? `${text}T00:00:00Z` : text);
}

function readTime(node: YamlNode): number | undefined {
  const text = node.text('expires');
  if (text === undefined) return undefined;
  return expiryOf(text) ?? node.refuse('wrong_value', `${quote(text)} is not a time such as 2027-06-30T12:00:00Z`);
}

function refuseWrongAddresses(node: YamlNode, addresses: readonly string[]): void {
  try {
    addressList(addresses);
  } catch (error) {
    node.refuse('wrong_value', (error as Error).message);
  }
}

function oneOrMore(node: YamlNode, what: string): readonly string[] {
  if (node.isList) return node.texts(what) ?? [];
  const text = node.text(what);
  return text === undefined ? [] : [text];
}

function missing(node: YamlNode, name: string): undefined {
  return node.refuse('missing_value', `a key needs ${quote(name)}`);
}
