/** `tests/*.yaml`: questions with wanted answers, and their places in the file. */

import { closest } from '../closest.js';
import { type Effect, type ReasonCode, reasonCodes } from '../decision.js';
import type { DeclaredTokens } from '../manifest/declared-tokens.js';
import { ambiguousEntity, type EntityStore } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import type { NamedText, ReportFatal, YamlNode } from '../manifest/yaml-document.js';
import { readYaml } from '../manifest/yaml-document.js';
import { quote } from '../quote.js';
import {
  type Action,
  type DecisionRequest,
  type Entity,
  type Json,
  type JsonObject,
  normaliseRequest,
  type TokenClaims,
} from '../request.js';
import { parseRfc3339 } from '../rfc3339.js';
import type { Semantics } from '../semantics.js';

/** One question and the answer that is wanted. */
export interface PolicyTest {
  readonly name: string;
  /** The cell of a matrix: `dana, read, L-2231`. */
  readonly cell?: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly request: DecisionRequest;
  /** The clock, in milliseconds since the epoch. */
  readonly now: number;
  readonly expected: Expectation;
}

/** Members that are missing are not compared. */
export interface Expectation {
  readonly decision: Effect;
  readonly reason?: ReasonCode;
  readonly message?: Json;
  readonly obligations?: readonly Json[];
  readonly advice?: readonly Json[];
  /** The codes of the errors met on the way, in order. */
  readonly errors?: readonly string[];
}

/** The default clock of tests. It is fixed, so that a set that loads today loads tomorrow. */
export const defaultTestTime = '2000-01-01T00:00:00Z';

/** Most tests of one set. They run at every load, so large matrices must not delay it. */
export const maxTests = 100_000;

/** Whether tests are about a set with its live data (`data: live`), or about its files alone. */
export type TestedData = 'files' | 'live';

/**
 * Reads the tests of a file. Wrong tests are reported and left out.
 *
 * @param wanted which tests are read; the result is undefined for a file with other tests
 * @param declared what the set declares; without it a test may ask about live data, and give any token
 */
export function readTests(
  source: NamedText,
  entities: EntityStore,
  report: ReportFatal,
  semantics?: Semantics,
  wanted: TestedData = 'files',
  declared?: Pick<Manifest, 'data' | 'tokens'>,
): readonly PolicyTest[] | undefined {
  const root = readYaml(source, report, semantics)?.knownMembers('a test file', [
    'description',
    'subjects',
    'resources',
    'attributes',
    'tokens',
    'at',
    'data',
    'tests',
  ]);
  if (root === undefined) return [];
  root.description?.text('description');
  const data: TestedData = root.data?.oneOf('data', ['live']) ?? 'files';
  if (data === 'live' && declared !== undefined && declared.data === undefined) {
    const hint = 'policy-set.yaml says under data what may be changed beside the files';
    root.data?.refuse('not_live_data', 'the tests are about live data, and the set has none', hint);
  }
  if (data !== wanted) return undefined;
  const readsTokens = (node: YamlNode): TokenClaims => readTokens(node, declared?.tokens);
  const file: TestFile = {
    readsTokens,
    tokens: root.tokens === undefined ? undefined : readsTokens(root.tokens),
    subjects: new Names('subject', root.subjects, entities),
    resources: new Names('resource', root.resources, entities),
    attributes: root.attributes === undefined ? undefined : readAttributes(root.attributes),
    now: readTime(root.at) ?? Date.parse(defaultTestTime),
  };
  const tests: PolicyTest[] = [];
  for (const node of root.tests?.items('tests') ?? []) {
    for (const test of readTest(node, file)) {
      if (tests.length < maxTests) {
        tests.push(test);
        continue;
      }
      node.refuse('too_many_tests', `a file may ask ${maxTests} questions; this one asks more`);
      return tests;
    }
  }
  return tests;
}

interface TestFile {
  readonly subjects: Names;
  readonly resources: Names;
  readonly attributes: JsonObject | undefined;
  /** Claims that a service would have verified: a test signs nothing. */
  readonly tokens: TokenClaims | undefined;
  readonly readsTokens: (node: YamlNode) => TokenClaims;
  readonly now: number;
}

const commonKeys = ['name', 'attributes', 'tokens', 'at'] as const;
const caseKeys = [...commonKeys, 'subject', 'action', 'resource', 'expect'] as const;
const matrixKeys = [...commonKeys, 'subjects', 'actions', 'resources', 'allow'] as const;

function* readTest(node: YamlNode, file: TestFile): Generator<PolicyTest> {
  const keys = node.members('a test');
  if (keys === undefined) return;
  const isMatrix = keys.has('allow');
  const members = node.knownMembers('a test', isMatrix ? matrixKeys : caseKeys) as Members | undefined;
  if (members === undefined) return;
  const name = members.name?.text('name');
  if (members.name === undefined) node.refuse('missing_value', 'a test needs a name');
  if (name === undefined) return;
  const attributes = members.attributes === undefined ? file.attributes : readAttributes(members.attributes);
  const tokens = members.tokens === undefined ? file.tokens : file.readsTokens(members.tokens);
  const now = readTime(members.at) ?? file.now;
  const context = { ...(attributes !== undefined && { attributes }), ...(tokens !== undefined && { tokens }) };
  const common = { name, now, context };
  if (isMatrix) yield* readMatrix(members, file, common);
  else yield* readCase(node, members, file, common);
}

type Members = Partial<Record<(typeof caseKeys)[number] | (typeof matrixKeys)[number], YamlNode>>;

interface Common {
  readonly name: string;
  readonly now: number;
  readonly context: Context;
}

/** What a question has beside who, what and with what. */
type Context = Pick<DecisionRequest, 'attributes' | 'tokens'>;

function* readCase(
  node: YamlNode,
  { subject, action, resource, expect }: Members,
  file: TestFile,
  { name, now, context }: Common,
): Generator<PolicyTest> {
  if (subject === undefined || action === undefined || resource === undefined || expect === undefined) {
    const missing = Object.entries({ subject, action, resource, expect }).filter(([, given]) => given === undefined);
    const hint = 'a matrix has "allow" instead';
    node.refuse('missing_value', `the test needs ${missing.map(([key]) => quote(key)).join(' and ')}`, hint);
    return;
  }
  const asked = {
    subject: file.subjects.resolve(subject),
    action: readAction(action),
    resource: file.resources.resolve(resource),
  };
  const expected = readExpectation(expect);
  if (asked.subject === undefined || asked.action === undefined || asked.resource === undefined) return;
  if (expected === undefined) return;
  const { subject: who, action: does, resource: what } = asked;
  yield { name, ...node.place, now, expected, request: requestOf(who, does, what, context) };
}

/** Every subject with every action on every resource: what a row of `allow` lists is allowed, all else is denied. */
function* readMatrix(members: Members, file: TestFile, { name, now, context }: Common): Generator<PolicyTest> {
  const subjects = new Map<string, Line>();
  const resources = new Map<string, Entity>();
  const actions = new Set<string>();
  const addResource = (node: YamlNode, id: string): void => {
    if (resources.has(id)) return;
    const entity = file.resources.named(id, node);
    if (entity !== undefined) resources.set(id, entity);
  };
  for (const action of members.actions?.names('actions') ?? []) actions.add(action);
  for (const node of members.resources?.items('resources') ?? []) addResource(node, node.name('a resource') ?? '');
  for (const [id, row] of members.allow?.members('allow') ?? []) {
    const entity = file.subjects.named(id, row);
    const cells = new Map<string, Cell>();
    for (const [resource, node] of row.members(`the row of ${quote(id)}`) ?? []) {
      addResource(node, resource);
      const allowed = new Map<string, YamlNode>();
      for (const item of node.isList ? (node.items('actions') ?? []) : [node]) {
        const action = item.name('an action');
        if (action === undefined) continue;
        actions.add(action);
        allowed.set(action, item);
      }
      cells.set(resource, { node, allowed });
    }
    if (entity !== undefined) subjects.set(id, { entity, node: row, cells });
  }
  for (const node of members.subjects?.items('subjects') ?? []) {
    const id = node.name('a subject');
    const entity = id === undefined || subjects.has(id) ? undefined : file.subjects.named(id, node);
    if (id !== undefined && entity !== undefined) subjects.set(id, { entity, node, cells: new Map() });
  }
  for (const [who, { entity, node, cells }] of subjects) {
    for (const [what, resource] of resources) {
      const cell = cells.get(what);
      for (const action of actions) {
        const allowed = cell?.allowed.get(action);
        yield {
          name,
          cell: `${who}, ${action}, ${what}`,
          ...(allowed ?? cell?.node ?? node).place,
          now,
          expected: { decision: allowed === undefined ? 'deny' : 'allow' },
          request: requestOf(entity, { name: action }, resource, context),
        };
      }
    }
  }
}

interface Line {
  readonly entity: Entity;
  readonly node: YamlNode;
  readonly cells: ReadonlyMap<string, Cell>;
}

interface Cell {
  readonly node: YamlNode;
  readonly allowed: ReadonlyMap<string, YamlNode>;
}

function requestOf(subject: Entity, action: Action, resource: Entity, context: Context): DecisionRequest {
  return normaliseRequest({ subject, action, resource, ...context });
}

/**
 * What texts in tests stand for: a name that the file declares, or the id of a stored entity. Any other text is a slip:
 * a test about somebody who does not exist would pass for ever, since they may do nothing.
 */
class Names {
  private readonly declared = new Map<string, Entity>();

  constructor(
    private readonly what: 'subject' | 'resource',
    node: YamlNode | undefined,
    private readonly entities: EntityStore,
  ) {
    // `[alice, bob]`: names that are their own ids.
    if (node?.isList === true) for (const id of node.names(`${what}s`) ?? []) this.declared.set(id, { id });
    else {
      for (const [name, value] of node?.members(`${what}s`) ?? []) {
        const entity = value.isMapping ? readEntity(value, what) : { id: value.name(`the id of ${quote(name)}`) ?? '' };
        if (entity !== undefined) this.declared.set(name, entity);
      }
    }
  }

  resolve(node: YamlNode): Entity | undefined {
    if (node.isMapping) return readEntity(node, this.what);
    const name = node.text(`the ${this.what}`);
    return name === undefined ? undefined : this.named(name, node);
  }

  named(name: string, node: YamlNode): Entity | undefined {
    const declared = this.declared.get(name);
    if (declared !== undefined) return declared;
    const stored = this.entities.find(undefined, name);
    if (stored === ambiguousEntity) {
      const hint = `declare it with its type under "${this.what}s"`;
      return node.refuse('ambiguous_entity', `several entities have the id ${quote(name)}`, hint);
    }
    if (stored !== undefined) return { type: stored.type, id: stored.id };
    const meant = closest(name, [...this.declared.keys(), ...Array.from(this.entities, ({ id }) => id)]);
    const hint = meant === undefined ? `declare it under "${this.what}s"` : `did you mean ${quote(meant)}?`;
    return node.refuse('unknown_name', `${quote(name)} is no ${this.what} of this file and no stored entity`, hint);
  }
}

function readEntity(node: YamlNode, what: string): Entity | undefined {
  const members = node.knownMembers(`a ${what}`, ['type', 'id', 'attributes']);
  if (members === undefined) return undefined;
  if (members.id === undefined) return node.refuse('missing_value', `a ${what} needs an id`);
  const id = members.id.name(`the ${what}'s id`);
  const type = members.type?.name(`the ${what}'s type`);
  const attributes = members.attributes === undefined ? undefined : readAttributes(members.attributes);
  if (id === undefined) return undefined;
  return { ...(type !== undefined && { type }), id, ...(attributes !== undefined && { attributes }) };
}

function readAction(node: YamlNode): Action | undefined {
  if (!node.isMapping) {
    const name = node.name('the action');
    return name === undefined ? undefined : { name };
  }
  const members = node.knownMembers('an action', ['name', 'attributes']);
  const name = members?.name?.name("the action's name");
  if (name === undefined)
    return members?.name === undefined ? node.refuse('missing_value', 'an action needs a name') : undefined;
  return { name, ...(members?.attributes !== undefined && { attributes: readAttributes(members.attributes) ?? {} }) };
}

function readAttributes(node: YamlNode): JsonObject | undefined {
  return node.members('attributes') === undefined ? undefined : (node.json() as JsonObject);
}

/** `{ user: { sub: ann, roles: [editor] } }`. A token or claim that the set never gets would make a test that says nothing. */
function readTokens(node: YamlNode, declared: DeclaredTokens | undefined): TokenClaims {
  const tokens: (readonly [string, JsonObject])[] = [];
  for (const [name, value] of node.members('tokens') ?? []) {
    const token = declared?.get(name);
    if (declared !== undefined && token === undefined) {
      const known = declared.size === 0 ? 'it declares none' : `it declares ${[...declared.keys()].join(', ')}`;
      value.refuse('undeclared_token', `${quote(name)} is no token that the manifest declares`, known);
    }
    const claims = value.members(`the token ${quote(name)}`);
    if (claims === undefined) continue;
    for (const [claim, at] of claims) {
      if (token?.claims === undefined || token.claims.has(claim)) continue;
      const hint = `it names ${[...token.claims.keys()].join(', ')}`;
      at.refuse('undeclared_claim', `${quote(claim)} is no claim that tokens.${name}.claims names`, hint);
    }
    tokens.push([name, value.json() as JsonObject]);
  }
  return Object.fromEntries(tokens);
}

function readTime(node: YamlNode | undefined): number | undefined {
  const text = node?.text('at');
  if (node === undefined || text === undefined) return undefined;
  // With its offset: a test must not depend on where it runs.
  return (
    parseRfc3339(text) ?? node.refuse('wrong_value', `${quote(text)} is no time`, `for example ${defaultTestTime}`)
  );
}

/** `allow`, or a mapping with what else is wanted. */
function readExpectation(node: YamlNode): Expectation | undefined {
  if (!node.isMapping) {
    const decision = node.oneOf('expect', ['allow', 'deny']);
    return decision === undefined ? undefined : { decision };
  }
  const keys = ['decision', 'reason', 'message', 'obligations', 'advice', 'errors'] as const;
  const members = node.knownMembers('expect', keys);
  if (members === undefined) return undefined;
  if (members.decision === undefined) return node.refuse('missing_value', 'expect needs a decision');
  const decision = members.decision.oneOf('decision', ['allow', 'deny']);
  const reason = members.reason?.oneOf('reason', reasonCodes);
  const errors = members.errors?.texts('errors');
  if (decision === undefined) return undefined;
  return {
    decision,
    ...(reason !== undefined && { reason }),
    ...(members.message !== undefined && { message: members.message.json() }),
    ...(members.obligations !== undefined && { obligations: listOf(members.obligations, 'obligations') }),
    ...(members.advice !== undefined && { advice: listOf(members.advice, 'advice') }),
    ...(errors !== undefined && { errors }),
  };
}

function listOf(node: YamlNode, what: string): readonly Json[] {
  return node.items(what)?.map((item) => item.json()) ?? [];
}
