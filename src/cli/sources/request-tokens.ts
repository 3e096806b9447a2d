/** Tokens of a question on the command line: their claims where the question is answered here, else as they were signed. */
import { readFile } from 'node:fs/promises';
import type { SignedTokens } from '../../auth/question-tokens.js';
import { parseExactJson, pointerToInexact } from '../../core/exact-json.js';
import { isObject } from '../../core/matcher/values.js';
import type { CompiledPolicySet } from '../../core/policy/compile.js';
import { quote } from '../../core/quote.js';
import type { DecisionRequest, Json, JsonObject, TokenClaims } from '../../core/request.js';
import { UsageError } from '../exit-code.js';

interface TokenOptions {
  readonly token: readonly string[];
  readonly url?: string;
}

/** What `--token` was given, by name. A text that is a JSON object is read as claims, any other one is a token. */
export async function readGivenTokens({ token }: TokenOptions): Promise<JsonObject> {
  const tokens: [string, Json][] = [];
  for (const given of token) {
    const equals = given.indexOf('=');
    if (equals <= 0)
      throw new UsageError('--token needs a name and a value', 'for example --token user=\'{"sub":"ann"}\'');
    const name = given.slice(0, equals);
    const text = given.slice(equals + 1);
    const value = text.startsWith('@')
      ? (await readFile(text.slice(1), 'utf8').catch(cannotRead(text.slice(1)))).trim()
      : text;
    tokens.push([name, value.startsWith('{') ? readClaims(name, value) : value]);
  }
  return Object.fromEntries(tokens);
}

/**
 * The request with what was given: claims for a set that is asked here, tokens for a service.
 *
 * @throws UsageError where the one was given and the other is wanted, or for a token that the set does not declare
 */
export function withTokens(
  request: DecisionRequest,
  given: JsonObject,
  { url }: Pick<TokenOptions, 'url'>,
  compiled: CompiledPolicySet | undefined,
): { readonly request: DecisionRequest; readonly tokens?: SignedTokens } {
  const names = Object.keys(given);
  if (names.length === 0) return { request };
  for (const name of names) {
    const value = given[name];
    if (url !== undefined && typeof value !== 'string') {
      throw new UsageError(`the service wants the token ${quote(name)} as it was signed, and not its claims`);
    }
    if (url !== undefined) continue;
    if (!isObject(value)) {
      throw new UsageError(`nothing is verified here: the token ${quote(name)} is given by its claims, a JSON object`);
    }
    const declared = compiled?.manifest.tokens;
    if (declared !== undefined && !declared.has(name)) {
      const known = declared.size === 0 ? 'it declares none' : `it declares ${[...declared.keys()].join(', ')}`;
      throw new UsageError(`the policy set declares no token ${quote(name)}`, known);
    }
  }
  // Sound: each was looked at.
  if (url !== undefined) return { request, tokens: given as unknown as SignedTokens };
  return { request: { ...request, tokens: given as unknown as TokenClaims } };
}

function readClaims(name: string, text: string): Json {
  let claims: Json;
  try {
    claims = parseExactJson(text);
  } catch {
    throw new UsageError(`the claims of the token ${quote(name)} are no JSON object`);
  }
  if (pointerToInexact(claims) === undefined) return claims;
  throw new UsageError(`the claims of the token ${quote(name)} hold a number that is too large to be exact`);
}

function cannotRead(file: string) {
  return (error: NodeJS.ErrnoException): never => {
    throw new UsageError(`${file} cannot be read: ${error.code ?? error.message}`);
  };
}
