/** Compiles the texts of a policy set to frozen data. All problems are reported at once. */

import { type CasbinModel, type ColumnsDefinition, readCasbinModel } from '../casbin/casbin-model.js';
import type { DocumentProblem } from '../casbin/document-problem.js';
import { parseModel } from '../casbin/model-document.js';
import { parseRuleLines, type RuleLine } from '../casbin/rules-document.js';
import type { LiveData } from '../data/live-data.js';
import { type EntityStore, noEntities, readEntities } from '../manifest/entities.js';
import {
  type DefinitionNames,
  defaultManifestFor,
  type Manifest,
  manifestText,
  readManifestInSteps,
} from '../manifest/manifest.js';
import { type AttributeSchema, noSchema, readSchema } from '../manifest/schema.js';
import type { NamedText } from '../manifest/yaml-document.js';
import type { CustomFunction } from '../matcher/environment.js';
import { builtInFunctions } from '../matcher/functions/built-in-functions.js';
import { PolicyError, type PolicyProblem, presentProblems } from '../problem.js';
import type { Json } from '../request.js';
import { PatternLibrary } from '../roles/prepared-patterns.js';
import { buildRoleGraphs, type LinkCondition } from '../roles/role-graphs.js';
import type { RoleGraph } from '../roles/roles.js';
import { buildRuleTable, type FieldIndex, type RuleTable } from '../rules/rule-table.js';
import { SymbolTable } from '../rules/symbols.js';
import { currentSemantics, type Semantics } from '../semantics.js';
import type { Admission } from './admission.js';
import { admissionOf } from './all-admissions.js';
import { checkPolicySet } from './check.js';
import { checkAttributes, checkEntities } from './check-attributes.js';
import { checkNames } from './check-names.js';
import { checkOmitted } from './check-omitted.js';
import { checkTokenClaims } from './check-tokens.js';
import { checkTypes } from './check-types.js';
import {
  type Combination,
  type CombinationError,
  type CombinationParts,
  compileCombination,
  isCombination,
} from './combination.js';

/** Text of a file; a bare string has the name that the file has in a policy folder. */
export type TextSource = string | NamedText;

/** As Casbin's AddNamedMatchingFunc: `fn` for role names, `domainFn` for domains. */
export interface RoleMatcher {
  readonly ptype: string;
  readonly fn?: string;
  readonly domainFn?: string;
}

/** As Casbin's SetFieldIndex: the column of `ptype` that is used as `field`. */
export interface FieldIndexEntry {
  readonly ptype?: string;
  readonly field: 'priority' | 'dom';
  /** Its position, or its name in the policy definition. */
  readonly index: number | string;
}

export interface CompileOptions {
  /** model.conf. */
  readonly model: TextSource;
  /** One CSV text, or the CSV files in the order in which they are read. */
  readonly rules: string | readonly NamedText[];
  /** Throws for every problem of severity error, not only for what Casbin's reference refuses. */
  readonly strict?: boolean;
  /** policy-set.yaml, or its content as a value. */
  readonly manifest?: TextSource | { readonly [key: string]: Json };
  /** entities.yaml, or its list. */
  readonly entities?: TextSource | readonly Json[];
  /** schema.yaml, or its content as a value: the attributes that matchers and conditions may read. */
  readonly schema?: TextSource | { readonly [key: string]: Json };
  readonly roleMatching?:
    | readonly RoleMatcher[]
    | Readonly<Record<string, string | { names?: string; domains?: string }>>;
  readonly linkConditions?: readonly LinkCondition[];
  /** Entries; or by field, `{ priority: 0 }`; or by definition and field, `{ p2: { priority: 'rank' } }`. */
  readonly fieldIndex?:
    | FieldIndexEntry
    | readonly FieldIndexEntry[]
    | Readonly<Record<string, number | string | Readonly<Record<string, number | string>>>>;
  /** Request values that are texts starting with `{` or `[` are parsed as JSON objects. */
  readonly acceptJson?: boolean;
  readonly functions?: Readonly<Record<string, CustomFunction>>;
  /** The defaults that the set is read with: `currentSemantics`, or an earlier number for what was decided or served under it. */
  readonly semantics?: Semantics;
}

export interface CompiledPolicySet {
  readonly version: string;
  /** What the version would be without live data. */
  readonly versionOfFiles: string;
  /** The defaults that it was read with. */
  readonly semantics: Semantics;
  readonly problems: readonly PolicyProblem[];
  readonly manifest: Manifest;
  readonly model: CasbinModel;
  readonly table: RuleTable;
  readonly roles: ReadonlyMap<string, RoleGraph>;
  readonly entities: EntityStore;
  /** Undefined if the manifest lets the set have none. */
  readonly data: LiveData | undefined;
  readonly schema: AttributeSchema;
  /** Conditions that a request must meet before the rules are evaluated; undefined if there are none. */
  readonly admission: Admission | undefined;
  readonly acceptJson: boolean;
  /** The combination of the definitions that the manifest names. */
  readonly main: Combination | CombinationError;
  /** Compiles another choice of definitions, or another matcher. */
  combine(names: DefinitionNames, matcher: string | undefined): Combination | CombinationError;
  /** What `combine` compiled, shared by sets that differ by their live data. */
  readonly combinations: CombinationLibrary;
}

/** The combinations of a set, without its live links. Each choice of definitions is compiled once. */
export class CombinationLibrary {
  private readonly compiled = new Map<string, Combination>();

  constructor(private readonly parts: CombinationParts) {}

  find(names: DefinitionNames, matcher: string | undefined): Combination | CombinationError {
    if (matcher !== undefined) return compileCombination(this.parts, names, matcher, () => {});
    const key = `${names.r},${names.p},${names.e},${names.m}`;
    const known = this.compiled.get(key);
    if (known !== undefined) return known;
    const combination = compileCombination(this.parts, names, undefined, () => {});
    // Errors are not kept: callers can pass any names.
    if (isCombination(combination)) this.compiled.set(key, combination);
    return combination;
  }
}

/** The version of a set, by the files that it is compiled from. The embedding program chooses the hash function. */
export type Identify = (files: readonly NamedText[]) => string;

/**
 * Compiles a policy set. The generator pauses now and then, so that a service can load a large set while it answers.
 *
 * @param identify called once, for a set that loads
 * @param noData the live data that a set begins with; without it the set can have none, whatever its manifest says
 * @throws PolicyError with every problem found, when one of them stops the load.
 */
export function* compileInSteps(
  options: CompileOptions,
  identify: Identify,
  noData?: LiveData,
): Generator<void, CompiledPolicySet> {
  const problems: DocumentProblem[] = [];
  const report = (problem: DocumentProblem): void => void problems.push(problem);
  // A document that cannot be read stops the load, strict or not.
  const reportFatal = (problem: PolicyProblem): void => void problems.push({ ...problem, refusedByReference: true });

  const sources = readSources(options);
  const { semantics = currentSemantics } = options;
  const manifest =
    sources.manifest === undefined
      ? defaultManifestFor(semantics)
      : yield* readManifestInSteps(sources.manifest, reportFatal, semantics);
  const entities =
    sources.entities === undefined
      ? noEntities
      : yield* readEntities(sources.entities, reportFatal, semantics, manifest.data?.entities);
  const schema = sources.schema === undefined ? noSchema : yield* readSchema(sources.schema, reportFatal, semantics);
  yield* checkEntities(entities, sources.entities, schema, report, semantics);
  const model = readCasbinModel(parseModel(sources.model.text, sources.model.file, report));
  yield;
  let unreadLines = 0;
  const lines = readLines(sources.rules, (problem) => {
    unreadLines++;
    report(problem);
  });
  const table = yield* buildRuleTable(model, lines, new SymbolTable(), fieldIndexOf(options.fieldIndex), report);
  const customFunctions = new Map(Object.entries(options.functions ?? {}));
  const functions = { functions: builtInFunctions, customFunctions };
  const matching = new Map([...manifest.roleMatching, ...roleMatchingOf(options.roleMatching)]);
  const { placeOf } = manifest;
  const links = options.linkConditions ?? [];
  const roles = yield* buildRoleGraphs(model, table.groupings, matching, links, functions, placeOf, report);
  yield;
  const language: CombinationParts['language'] = { ...functions, patterns: new PatternLibrary() };
  const parts: CombinationParts = {
    model,
    policies: table.policies,
    bindings: manifest.request,
    declaresTokens: manifest.tokens.size > 0,
    defined: manifest.define,
    language,
    roles,
  };
  const main = yield* checkPolicySet({
    parts,
    manifest,
    table,
    hasRules: table.lineCount + unreadLines > 0,
    rules: sources.rules,
    report,
    semantics,
  });
  if (isCombination(main) && semantics !== 1) {
    const [files, entitiesText] = [sources.rules, sources.entities];
    yield* checkNames({ model, main, table, entities, rules: files, entitiesText, report });
  }
  if (isCombination(main)) {
    const checked = { model, manifest, main, schema, rules: sources.rules, report };
    yield* checkTokenClaims({ ...checked, schemaText: sources.schema });
    yield* checkAttributes(checked);
    yield* checkOmitted({ ...checked, schemaText: sources.schema, semantics });
    if (semantics !== 1) yield* checkTypes(checked);
  }
  const sorted = settleProblems(problems, manifest, options.strict === true);

  const version = identify(filesOf(sources));
  const combinations = new CombinationLibrary(parts);
  return Object.freeze({
    version,
    versionOfFiles: version,
    semantics,
    problems: sorted,
    manifest,
    model,
    table,
    roles,
    entities,
    data: manifest.data && noData,
    schema,
    admission: admissionOf({ manifest, entities, schema, tokens: isCombination(main) ? main.tokens : [], semantics }),
    acceptJson: options.acceptJson === true,
    main,
    combinations,
    combine: (names: DefinitionNames, matcher: string | undefined) => combinations.find(names, matcher),
  });
}

/** Reads line by line, so that text need not stay in memory once it has become numbers. */
function* readLines(sources: readonly NamedText[], report: (problem: DocumentProblem) => void): Generator<RuleLine> {
  for (const { file, text } of sources) yield* parseRuleLines(text, file, report);
}

/** Throws for what stops the load; what remains is sorted, and downgraded where the manifest says so. */
function settleProblems(
  problems: readonly DocumentProblem[],
  manifest: Manifest,
  strict: boolean,
): readonly PolicyProblem[] {
  const damages = new Map<string, number>();
  for (const { damages: section } of problems)
    if (section !== undefined) damages.set(section, (damages.get(section) ?? 0) + 1);
  const followsFromOther = ({ follows, damages: own }: DocumentProblem): boolean =>
    follows !== undefined && (damages.get(follows) ?? 0) > (own === follows ? 1 : 0);
  const settled = problems.map((found) => {
    const { refusedByReference, damages: _damages, follows: _follows, ...problem } = found;
    const downgraded = manifest.downgraded.has(problem.code) && refusedByReference !== true;
    const severity = downgraded ? ('warning' as const) : problem.severity;
    return {
      problem: { ...problem, severity },
      stops: refusedByReference === true || (strict && severity === 'error'),
      follows: followsFromOther(found),
    };
  });
  // One mistake is one problem: problems that follow from it are left out. They stop the load anyway.
  const all = presentProblems(settled.filter(({ follows }) => !follows).map(({ problem }) => problem));
  if (settled.some(({ stops }) => stops)) throw new PolicyError(all);
  return Object.freeze(all);
}

interface Sources {
  readonly model: NamedText;
  readonly rules: readonly NamedText[];
  readonly manifest: NamedText | undefined;
  readonly entities: NamedText | undefined;
  readonly schema: NamedText | undefined;
}

function readSources(options: CompileOptions): Sources {
  const { model, rules, manifest, entities, schema } = options;
  const isText = (source: object): source is NamedText => 'file' in source && 'text' in source;
  return {
    model: named(model, 'model.conf'),
    rules: typeof rules === 'string' ? [named(rules, 'policy.csv')] : rules,
    manifest:
      manifest === undefined
        ? undefined
        : typeof manifest === 'string' || isText(manifest)
          ? named(manifest as TextSource, 'policy-set.yaml')
          : manifestText(manifest as Json),
    entities:
      entities === undefined
        ? undefined
        : typeof entities === 'string' || isText(entities)
          ? named(entities as TextSource, 'entities.yaml')
          : { file: 'entities.json', text: JSON.stringify(entities) },
    schema:
      schema === undefined
        ? undefined
        : typeof schema === 'string' || isText(schema)
          ? named(schema as TextSource, 'schema.yaml')
          : { file: 'schema.yaml', text: JSON.stringify(schema) },
  };
}

function named(source: TextSource, file: string): NamedText {
  return typeof source === 'string' ? { file, text: source } : source;
}

function filesOf({ model, rules, manifest, entities, schema }: Sources): readonly NamedText[] {
  return [model, ...rules, ...[manifest, entities, schema].filter((source) => source !== undefined)];
}

function roleMatchingOf(matching: CompileOptions['roleMatching']): [string, { names?: string; domains?: string }][] {
  if (matching === undefined) return [];
  if (!Array.isArray(matching)) {
    return Object.entries(matching).map(([key, names]) => [key, typeof names === 'string' ? { names } : names]);
  }
  const merged = new Map<string, { names?: string; domains?: string }>();
  for (const { ptype, fn, domainFn } of matching as readonly RoleMatcher[]) {
    merged.set(ptype, {
      ...merged.get(ptype),
      ...(fn !== undefined && { names: fn }),
      ...(domainFn !== undefined && { domains: domainFn }),
    });
  }
  return [...merged];
}

/** Without an entry, the column of that name is used. */
function fieldIndexOf(fieldIndex: CompileOptions['fieldIndex']): FieldIndex {
  const entries = fieldIndexEntries(fieldIndex);
  return (ptype, field, definition) => {
    const entry = entries.find((candidate) => candidate.field === field && (candidate.ptype ?? ptype) === ptype);
    return entry === undefined ? columnOf(definition, field) : columnOf(definition, entry.index);
  };
}

type FieldIndexByName = Readonly<Record<string, number | string | Readonly<Record<string, number | string>>>>;

function fieldIndexEntries(fieldIndex: CompileOptions['fieldIndex']): readonly FieldIndexEntry[] {
  if (fieldIndex === undefined) return [];
  if (Array.isArray(fieldIndex)) return fieldIndex as readonly FieldIndexEntry[];
  if (isFieldIndexEntry(fieldIndex)) return [fieldIndex];
  return Object.entries(fieldIndex as FieldIndexByName).flatMap(([name, value]) => {
    if (typeof value !== 'object') return [{ field: name, index: value } as FieldIndexEntry];
    return Object.entries(value).map(([field, index]) => ({ ptype: name, field, index }) as FieldIndexEntry);
  });
}

function isFieldIndexEntry(value: object): value is FieldIndexEntry {
  return 'field' in value && 'index' in value;
}

function columnOf({ tokens }: ColumnsDefinition, column: number | string): number | undefined {
  const index = typeof column === 'number' ? column : tokens.indexOf(column);
  return index >= 0 && index < tokens.length ? index : undefined;
}
