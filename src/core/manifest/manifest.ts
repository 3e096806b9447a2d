/** `policy-set.yaml`: settings of a policy set beside Casbin's own files. */
import { parseDateLiteral } from '../matcher/date-literal.js';
import type { DefinedAs } from '../matcher/definitions.js';
import { languageFunctions, quantifiers } from '../matcher/environment.js';
import { builtInFunctions } from '../matcher/functions/built-in-functions.js';
import { cut, quote } from '../quote.js';
import type { Json } from '../request.js';
import { currentSemantics, type Semantics } from '../semantics.js';
import { largestStepBudget } from '../step-budget.js';
import { finish } from '../steps.js';
import { type Binding, isBindingFault, parseBinding } from './binding-text.js';
import { type DeclaredTokens, noTokens, readDeclaredTokens } from './declared-tokens.js';
import { defaultGatewayMapping, type GatewayMapping, readGatewayMapping } from './gateway-mapping.js';
import type { NamedText, Place, ReportFatal, YamlNode } from './yaml-document.js';
import { readYamlInSteps } from './yaml-document.js';

export interface RoleMatchingNames {
  /** Function names, as Casbin's AddNamedMatchingFunc and AddNamedDomainMatchingFunc take them. */
  readonly names?: string;
  readonly domains?: string;
}

/** The definitions of the model that decide; by default `r`, `p`, `e`, `m`. */
export interface DefinitionNames {
  readonly r: string;
  readonly p: string;
  readonly e: string;
  readonly m: string;
}

/** What may be changed while the set serves, beside its files. */
export interface LiveDataRules {
  /** Role definitions that may have links beside those of the files. */
  readonly roles: ReadonlySet<string>;
  /** Types of entities that files may not have. */
  readonly entities: ReadonlySet<string>;
}

/** What clients get that decide in their own process (docs/local-decisions.md). */
export interface LocalRules {
  /** Stored attributes of entities that they do not get: `user.salary`, the type before the last dot. */
  readonly omit: readonly string[];
}

export interface Manifest {
  readonly description: string;
  readonly engine: 'verdict' | 'casbin';
  /** Values of tokens of the request definition, where they differ from the default by name. */
  readonly request: ReadonlyMap<string, Binding>;
  readonly definitions: DefinitionNames;
  /** What bare names in matchers and conditions stand for. */
  readonly define: ReadonlyMap<string, DefinedAs>;
  readonly roleMatching: ReadonlyMap<string, RoleMatchingNames>;
  /** Which attribute wins if a request and `entities.yaml` both have one. */
  readonly precedence: 'request' | 'stored';
  /**
   * Types of which an entity that is not stored is denied: these, all that `entities.yaml` names, or none (undefined).
   */
  readonly unknownDenied: ReadonlySet<string> | 'stored_types' | undefined;
  /** What happens with a request that does not fit `schema.yaml`. */
  readonly schemaRequests: 'deny' | 'reject' | 'warn' | 'ignore';
  /** Undefined for a set that is its files alone. */
  readonly data: LiveDataRules | undefined;
  /** The verified tokens that questions may bring. */
  readonly tokens: DeclaredTokens;
  /** Undefined for a set that only the service decides by. */
  readonly local: LocalRules | undefined;
  readonly emptyPolicy: 'refused' | 'allowed';
  readonly clock: 'server' | 'request';
  readonly stepBudget: number | undefined;
  /** Codes of strict problems that are warnings in this set. */
  readonly downgraded: ReadonlySet<string>;
  /** Actions that a search for actions tries, beside those in rules. */
  readonly searchActions: readonly string[];
  /** Roles by resource, as in rules: the linter reports a role that may change the resource that limits it. */
  readonly limits: ReadonlyMap<string, readonly string[]>;
  /** How a request at a gateway becomes a question. */
  readonly gateway: GatewayMapping;
  readonly decisionLog: {
    readonly mask: readonly string[];
    readonly hash: readonly string[];
    readonly drop: readonly string[];
  };
  /** The place of a key, or of an item by its number, for problems that need the model: `placeOf('data', 'roles', '0')`. */
  placeOf(...path: string[]): Place;
}

export const defaultDefinitions: DefinitionNames = { r: 'r', p: 'p', e: 'e', m: 'm' };

export const defaultManifest: Manifest = Object.freeze({
  description: '',
  engine: 'verdict',
  request: new Map(),
  definitions: defaultDefinitions,
  define: new Map(),
  roleMatching: new Map(),
  precedence: 'stored',
  unknownDenied: undefined,
  schemaRequests: 'deny',
  data: undefined,
  tokens: noTokens,
  local: undefined,
  emptyPolicy: 'refused',
  clock: 'server',
  stepBudget: undefined,
  downgraded: new Set<string>(),
  searchActions: Object.freeze([]),
  limits: new Map(),
  gateway: defaultGatewayMapping,
  decisionLog: Object.freeze({ mask: [], hash: [], drop: [] }),
  placeOf: () => ({ file: 'policy-set.yaml', line: 1, column: 1 }),
});

/** The manifest of a set without one, for a number of semantics. */
export function defaultManifestFor(semantics: Semantics): Manifest {
  return semantics === 1 ? { ...defaultManifest, precedence: 'request', schemaRequests: 'ignore' } : defaultManifest;
}

const keys = [
  'description',
  'engine',
  'request',
  'definitions',
  'define',
  'roleMatching',
  'entities',
  'schema',
  'data',
  'tokens',
  'local',
  'emptyPolicy',
  'clock',
  'stepBudget',
  'limits',
  'lint',
  'search',
  'gateway',
  'decisionLog',
] as const;

/** Reads a manifest. A wrong member is reported and gets its default. */
export function readManifest(
  source: NamedText,
  report: ReportFatal,
  semantics: Semantics = currentSemantics,
): Manifest {
  return finish(readManifestInSteps(source, report, semantics));
}

export function* readManifestInSteps(
  source: NamedText,
  report: ReportFatal,
  semantics: Semantics,
): Generator<void, Manifest> {
  const defaults = defaultManifestFor(semantics);
  const root = yield* readYamlInSteps(source, report, semantics);
  const node = root?.knownMembers('the manifest', keys);
  if (root === undefined || node === undefined) return defaults;
  return Object.freeze({
    description: node.description?.text('description') ?? defaultManifest.description,
    engine: node.engine?.oneOf('engine', ['verdict', 'casbin']) ?? defaultManifest.engine,
    request: node.request === undefined ? defaultManifest.request : readBindings(node.request, semantics),
    definitions: node.definitions === undefined ? defaultDefinitions : readDefinitions(node.definitions),
    define: node.define === undefined ? defaultManifest.define : readDefined(node.define, node.engine),
    roleMatching: node.roleMatching === undefined ? defaultManifest.roleMatching : readRoleMatching(node.roleMatching),
    ...readEntityRules(node.entities, defaults),
    schemaRequests: node.schema === undefined ? defaults.schemaRequests : readSchemaRules(node.schema, defaults),
    data: node.data === undefined ? defaultManifest.data : readLiveDataRules(node.data, node.engine),
    tokens: node.tokens === undefined ? defaultManifest.tokens : readDeclaredTokens(node.tokens, node.engine),
    local: node.local === undefined ? defaultManifest.local : readLocalRules(node.local, node.engine),
    emptyPolicy: node.emptyPolicy?.oneOf('emptyPolicy', ['refused', 'allowed']) ?? defaultManifest.emptyPolicy,
    clock: node.clock?.oneOf('clock', ['server', 'request']) ?? defaultManifest.clock,
    stepBudget: node.stepBudget === undefined ? undefined : readStepBudget(node.stepBudget, semantics),
    downgraded: node.lint === undefined ? defaultManifest.downgraded : readLint(node.lint),
    searchActions: node.search === undefined ? defaultManifest.searchActions : readSearch(node.search),
    limits: node.limits === undefined ? defaultManifest.limits : readLimits(node.limits),
    gateway: node.gateway === undefined ? defaultManifest.gateway : readGatewayMapping(node.gateway),
    decisionLog: node.decisionLog === undefined ? defaultManifest.decisionLog : readDecisionLog(node.decisionLog),
    placeOf: (...path: string[]) => root.placeOfKey(path),
  });
}

/** `"2"` → r2, p2, e2, m2; also Casbin's own form with the names one by one, the others staying r, p, e, m. */
export function definitionNames(context: string | Partial<DefinitionNames>): DefinitionNames {
  if (typeof context !== 'string') return { ...defaultDefinitions, ...context };
  return { r: `r${context}`, p: `p${context}`, e: `e${context}`, m: `m${context}` };
}

function readBindings(node: YamlNode, semantics: Semantics): ReadonlyMap<string, Binding> {
  const bindings = new Map<string, Binding>();
  for (const [token, value] of node.members('request') ?? []) {
    const text = value.text(`request.${cut(token)}`);
    if (text === undefined) continue;
    const binding = parseBinding(text, semantics);
    if (isBindingFault(binding)) value.refuse(binding.code, binding.message, binding.hint);
    else bindings.set(token, binding);
  }
  return bindings;
}

function readDefinitions(node: YamlNode): DefinitionNames {
  if (!node.isMapping) return definitionNames(node.text('definitions') ?? '');
  const named = node.knownMembers('definitions', ['r', 'p', 'e', 'm']) ?? {};
  const names: Partial<Record<keyof DefinitionNames, string>> = {};
  for (const key of ['r', 'p', 'e', 'm'] as const) {
    const name = named[key]?.text(`definitions.${key}`);
    if (name !== undefined) names[key] = name;
  }
  return definitionNames(names);
}

/** Words that are something else in an expression. */
const reserved: ReadonlySet<string> = new Set(['true', 'false', 'in', 'IN', 'it', 'and', 'or', 'not', 'xor', 'eval']);

/** `{ limit: 10000, regions: [eu, ch], isOwner: "r.sub.id == r.obj.owner" }`: a text is an expression. */
function readDefined(node: YamlNode, engine: YamlNode | undefined): Manifest['define'] {
  const defined = new Map<string, DefinedAs>();
  if (engine?.isText('casbin') === true) {
    node.refuse('unsupported_by_stock_casbin', 'the stock package knows no names that a manifest defines');
  }
  for (const [name, value] of node.members('define') ?? []) {
    const what = `define.${cut(name)}`;
    const isName = /^[A-Za-z][A-Za-z0-9]*$/.test(name) && !reserved.has(name.toLowerCase()) && !isCalled(name);
    if (!isName) {
      value.refuse(
        'bad_definition',
        `${quote(name)} cannot be defined`,
        'a name has letters and digits, and means nothing yet',
      );
      continue;
    }
    const json = value.json();
    if (typeof json === 'string' && parseDateLiteral(json) !== undefined) {
      const hint = `a time is a text in the expression: ${cut(name)}: '"${json}"'`;
      value.refuse('bad_definition', `${what} would be calculated: ${quote(json)} is a difference of numbers`, hint);
    } else if (typeof json === 'string') defined.set(name, { text: json });
    else if (isConstant(json)) defined.set(name, { value: json });
    else
      value.refuse('wrong_type', `${what} must be an expression in a text, a number, true, false, or a list of values`);
  }
  return defined;
}

function isCalled(name: string): boolean {
  return builtInFunctions.has(name) || languageFunctions.has(name) || quantifiers.has(name) || /^g\d*$/.test(name);
}

function isConstant(json: Json): boolean {
  const isScalar = (value: Json): boolean => value !== null && typeof value !== 'object';
  return Array.isArray(json) ? json.every(isScalar) : isScalar(json);
}

/** `{ g2: keyMatch2 }` or `{ g: { names: keyMatch2, domains: keyMatch } }`. */
function readRoleMatching(node: YamlNode): ReadonlyMap<string, RoleMatchingNames> {
  const matching = new Map<string, RoleMatchingNames>();
  for (const [key, value] of node.members('roleMatching') ?? []) {
    if (!value.isMapping) {
      const names = value.text(`roleMatching.${cut(key)}`);
      if (names !== undefined) matching.set(key, { names });
      continue;
    }
    const members = value.knownMembers(`roleMatching.${cut(key)}`, ['names', 'domains']);
    const names = members?.names?.text(`roleMatching.${cut(key)}.names`);
    const domains = members?.domains?.text(`roleMatching.${cut(key)}.domains`);
    matching.set(key, { ...(names !== undefined && { names }), ...(domains !== undefined && { domains }) });
  }
  return matching;
}

type EntityRules = Pick<Manifest, 'precedence' | 'unknownDenied'>;

function readEntityRules(node: YamlNode | undefined, defaults: Manifest): EntityRules {
  const { precedence, unknown } = node?.knownMembers('entities', ['precedence', 'unknown']) ?? {};
  return {
    precedence: precedence?.oneOf('entities.precedence', ['stored', 'request']) ?? defaults.precedence,
    unknownDenied: unknown === undefined ? undefined : readUnknown(unknown),
  };
}

/** `deny`, or `{ deny: [invoice] }`. */
function readUnknown(node: YamlNode): Manifest['unknownDenied'] {
  if (!node.isMapping) return node.oneOf('entities.unknown', ['deny']) && 'stored_types';
  const { deny } = node.knownMembers('entities.unknown', ['deny']) ?? {};
  if (deny === undefined) return node.refuse('missing_value', 'entities.unknown needs "deny"');
  return new Set(deny.names('entities.unknown.deny') ?? []);
}

function readSchemaRules(node: YamlNode, defaults: Manifest): Manifest['schemaRequests'] {
  const { requests } = node.knownMembers('schema', ['requests']) ?? {};
  return requests?.oneOf('schema.requests', ['deny', 'reject', 'warn', 'ignore']) ?? defaults.schemaRequests;
}

function readLiveDataRules(node: YamlNode, engine: YamlNode | undefined): LiveDataRules | undefined {
  const { roles, entities } = node.knownMembers('data', ['roles', 'entities']) ?? {};
  if (engine?.isText('casbin') === true) {
    node.refuse(
      'unsupported_by_stock_casbin',
      'data changes sets that Verdict evaluates; the stock package reads files',
    );
  }
  if (node.isMapping && node.members('data')?.size === 0) {
    return node.refuse('missing_value', 'data needs "roles" or "entities"');
  }
  return Object.freeze({
    roles: roles === undefined ? new Set<string>() : readDistinct(roles, 'data.roles'),
    entities: entities === undefined ? new Set<string>() : readDistinct(entities, 'data.entities'),
  });
}

/** `allowed`, or `{ omit: [user.salary] }`. */
function readLocalRules(node: YamlNode, engine: YamlNode | undefined): LocalRules | undefined {
  if (engine?.isText('casbin') === true) {
    node.refuse('unsupported_by_stock_casbin', 'clients decide with the engine of Verdict alone');
  }
  if (!node.isMapping) return node.oneOf('local', ['allowed']) && Object.freeze({ omit: Object.freeze([]) });
  const { omit } = node.knownMembers('local', ['omit']) ?? {};
  if (node.members('local')?.size === 0) return node.refuse('missing_value', 'local needs "omit", or is "allowed"');
  if (omit === undefined) return undefined;
  const names = readDistinct(omit, 'local.omit');
  for (const item of omit.isList ? (omit.items('local.omit') ?? []) : []) {
    const name = typeof item.json() === 'string' ? String(item.json()) : undefined;
    if (name === undefined || isAttributeOfType(name)) continue;
    item.refuse('wrong_value', `${quote(name)} names no attribute of a type`, 'for example user.salary');
  }
  return Object.freeze({ omit: Object.freeze([...names]) });
}

/** `user.salary`. A type may have dots, and the name of an attribute that is left out has none. */
function isAttributeOfType(name: string): boolean {
  const at = name.lastIndexOf('.');
  return at > 0 && at < name.length - 1;
}

function readDistinct(node: YamlNode, what: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const item of node.items(what) ?? []) {
    const name = item.name(`each of ${what}`);
    if (name === undefined) continue;
    if (names.has(name)) item.refuse('wrong_value', `${what} names ${quote(name)} twice`);
    names.add(name);
  }
  return names;
}

function readStepBudget(node: YamlNode, semantics: Semantics): number | undefined {
  const steps = node.positiveInteger('stepBudget');
  if (steps === undefined || steps <= largestStepBudget) return steps;
  // 0.1 allowed any number and did not count many of the steps.
  if (semantics === 1) return largestStepBudget;
  node.refuse('wrong_value', `stepBudget is at most ${largestStepBudget.toLocaleString('en')}`);
  return undefined;
}

function readLint(node: YamlNode): ReadonlySet<string> {
  const downgraded = new Set<string>();
  for (const [code, value] of node.members('lint') ?? []) {
    if (value.oneOf(`lint.${cut(code)}`, ['warn', 'error']) === 'warn') downgraded.add(code);
  }
  return downgraded;
}

function readSearch(node: YamlNode): readonly string[] {
  const members = node.knownMembers('search', ['actions']);
  return members?.actions?.names('search.actions') ?? defaultManifest.searchActions;
}

function readLimits(node: YamlNode): Manifest['limits'] {
  const limits = new Map<string, readonly string[]>();
  for (const [resource, roles] of node.members('limits') ?? []) {
    limits.set(resource, roles.texts(`limits.${cut(resource)}`) ?? []);
  }
  return limits;
}

function readDecisionLog(node: YamlNode): Manifest['decisionLog'] {
  const members = node.knownMembers('decisionLog', ['mask', 'hash', 'drop']);
  return Object.freeze({
    mask: members?.mask === undefined ? [] : readPointers(members.mask, 'decisionLog.mask'),
    hash: members?.hash === undefined ? [] : readPointers(members.hash, 'decisionLog.hash'),
    drop: members?.drop === undefined ? [] : readPointers(members.drop, 'decisionLog.drop'),
  });
}

/**
 * RFC 6901 pointers to attributes and claims that records hide. Ids and names cannot be hidden, since records are found by them.
 */
function readPointers(node: YamlNode, what: string): readonly string[] {
  const pointers: string[] = [];
  for (const item of node.items(what) ?? []) {
    const pointer = item.text(`each of ${what}`);
    if (pointer === undefined) continue;
    const isHidden = /^\/(((subject|action|resource)\/)?attributes|tokens)\/.+$/.test(pointer);
    if (isHidden && !/~(?![01])/.test(pointer)) {
      pointers.push(pointer);
    } else {
      item.refuse(
        'bad_pointer',
        `${quote(pointer)} does not point at an attribute`,
        'for example /subject/attributes/ssn',
      );
    }
  }
  return pointers;
}

/** A manifest that a program gives as a value instead of a text. */
export function manifestText(manifest: Json): NamedText {
  return { file: 'policy-set.yaml', text: JSON.stringify(manifest) };
}
