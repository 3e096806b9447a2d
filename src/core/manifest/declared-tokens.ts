/** The manifest's `tokens`: which tokens a question may bring, for whom they must be, and which claims the set reads. */
import { cut, quote } from '../quote.js';
import type { YamlNode } from './yaml-document.js';

/** One token that a question may bring. */
export interface DeclaredToken {
  /** The token must be for one of them (`aud`). */
  readonly audience: readonly string[];
  /** Undefined: any issuer that the service is configured with. */
  readonly issuers: readonly string[] | undefined;
  /** Claims by the names that the set reads them by; nothing else of the token is kept. Undefined: all as they are called. */
  readonly claims: ReadonlyMap<string, string> | undefined;
}

/** By the names that questions, matchers and bindings call them by. */
export type DeclaredTokens = ReadonlyMap<string, DeclaredToken>;

export const noTokens: DeclaredTokens = new Map();

/** Most tokens of one question. */
export const mostTokens = 8;
const mostClaims = 100;

/** Names that matchers can read: `r.token.user.sub`. */
const readableName = /^[A-Za-z][A-Za-z0-9_]*$/;

/** Reads `tokens`. A wrong member is reported and left out. */
export function readDeclaredTokens(node: YamlNode, engine: YamlNode | undefined): DeclaredTokens {
  if (engine?.isText('casbin') === true) {
    node.refuse('unsupported_by_stock_casbin', 'verified tokens are read by the engine of Verdict alone');
  }
  const members = node.members('tokens') ?? noNodes;
  if (node.isMapping && members.size === 0) node.refuse('missing_value', 'tokens names no token');
  if (members.size > mostTokens) node.refuse('wrong_value', `tokens names at most ${mostTokens} tokens`);
  const declared = new Map<string, DeclaredToken>();
  for (const [name, value] of members) {
    if (!readableName.test(name)) {
      const hint = 'a name begins with a letter, and has letters, digits and underscores';
      value.refuse('wrong_value', `no matcher can read a token that is called ${quote(name)}`, hint);
      continue;
    }
    const token = readToken(value, `tokens.${cut(name)}`);
    if (token !== undefined) declared.set(name, token);
  }
  return declared;
}

const noNodes: ReadonlyMap<string, YamlNode> = new Map();

function readToken(node: YamlNode, what: string): DeclaredToken | undefined {
  const members = node.knownMembers(what, ['audience', 'issuer', 'claims']);
  if (members === undefined) return undefined;
  const { audience, issuer, claims } = members;
  if (audience === undefined) {
    const hint = 'for example { audience: https://shop.example }: a token for another service says nothing here';
    return node.refuse('missing_value', `${what} needs an audience`, hint);
  }
  const audiences = readTexts(audience, `${what}.audience`);
  const issuers = issuer === undefined ? undefined : readTexts(issuer, `${what}.issuer`);
  const read = claims === undefined ? undefined : readClaims(claims, `${what}.claims`);
  return audiences === undefined ? undefined : Object.freeze({ audience: audiences, issuers, claims: read });
}

/** A text, or a list of them. */
function readTexts(node: YamlNode, what: string): readonly string[] | undefined {
  const one = node.isList ? undefined : node.text(what);
  const texts = node.isList ? node.texts(what) : one === undefined ? undefined : [one];
  if (texts === undefined || (texts.length > 0 && texts.every((text) => text !== ''))) return texts;
  return node.refuse('missing_value', `${what} is empty`);
}

/** `[sub, roles]`, or `{ roles: https://shop.example/roles }` for claims whose names matchers cannot read. */
function readClaims(node: YamlNode, what: string): ReadonlyMap<string, string> {
  const claims = new Map<string, string>();
  let named = 0;
  const add = (name: string, claim: string, at: YamlNode): void => {
    named++;
    if (claims.has(name)) at.refuse('wrong_value', `${what} names ${quote(name)} twice`);
    else if (name === '__proto__' || claim === '__proto__') at.refuse('wrong_value', 'no claim is called "__proto__"');
    else claims.set(name, claim);
  };
  if (node.isMapping) {
    for (const [name, value] of node.members(what) ?? []) {
      const claim = value.text(`${what}.${cut(name)}`);
      if (claim !== undefined) add(name, claim, value);
    }
  } else {
    for (const item of node.items(what) ?? []) {
      const claim = item.name(`each of ${what}`);
      if (claim !== undefined) add(claim, claim, item);
    }
  }
  if (named === 0) node.refuse('missing_value', `${what} names no claim`);
  if (claims.size > mostClaims) node.refuse('wrong_value', `${what} names at most ${mostClaims} claims`);
  return claims;
}
