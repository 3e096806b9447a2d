/** Comparisons that can never be true, operands of the wrong type, conditions that are none: what the types prove. */
import type { CasbinModel } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { BindingPath } from '../manifest/binding-text.js';
import type { Manifest } from '../manifest/manifest.js';
import { type AttributeSchema, typesAtPath } from '../manifest/schema.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { type Expression, walk } from '../matcher/ast.js';
import { inferTypes, type KnownTypes, type TypeFault } from '../matcher/infer-types.js';
import type { DefinedNames } from '../matcher/known-names.js';
import { anyType, booleanType, describeTypes, numberType, type Types, textType } from '../matcher/value-types.js';
import { cut } from '../quote.js';
import { type AttributeReading, attributeReading, readingOfPath } from './attribute-reading.js';
import { checkTexts } from './check-texts.js';
import { type Combination, conditionColumns } from './combination.js';

/** What types are known by. */
export interface TypeSources {
  readonly manifest: Manifest;
  readonly main: Combination;
  readonly schema: AttributeSchema;
  /** The types that an attribute seems to have, where nothing proves any. */
  readonly suggested?: (reading: AttributeReading) => Types;
}

/** A fault in what a name is defined as; `at` is an offset into that text. */
export interface DefinedFault extends TypeFault {
  readonly name: string;
}

export interface CheckedTypes extends TypeSources {
  readonly model: CasbinModel;
  /** The files that the rules were read from, for places in them. */
  readonly rules: readonly NamedText[];
  readonly report: ReportProblem;
}

/**
 * Reports what is wrong whatever a request is: by literals, by columns of rules, which are texts, by ids, types and names, and by the
 * schema where requests are held against it; types that it does not name are not looked at.
 */
export function* checkTypes(set: CheckedTypes): Generator<void> {
  const { model, manifest, main, report } = set;
  for (const { name, at, message, ...fault } of typeFaultsOfDefinitions(set)) {
    report({ severity: 'error', ...fault, ...inDefinition(name, at, message), ...manifest.placeOf('define', name) });
  }
  const definition = model.matchers.get(manifest.definitions.m);
  for (const { at, ...fault } of typeFaultsOfMatcher(set)) {
    report({ severity: 'error', ...fault, file: model.file, ...(definition?.place(at) ?? { line: 1, column: 1 }) });
  }
  if (!main.callsEval) return;
  for (const column of conditionColumns(main.program.expression, main.policy)) {
    const wanted = typesOfConditions(column, main);
    yield* checkTexts(set, main.rules, column, (text) => typeFaultsOfCondition(text, wanted, set));
  }
}

/** What is wrong with what the manifest defines, and not only where it is used. */
export function typeFaultsOfDefinitions(set: TypeSources): readonly DefinedFault[] {
  const found: DefinedFault[] = [];
  for (const [name, definition] of set.manifest.define) {
    if (!('text' in definition)) continue;
    const expression = definitions(set).find(name);
    if (expression === undefined) continue;
    for (const fault of faultsIn(expression, definition.text, anyType, set)) found.push({ name, ...fault });
  }
  return found;
}

/** How a problem in what a name is defined as is told: the place of the name alone is known. */
export function inDefinition(name: string, at: number, message: string): { readonly message: string } {
  return { message: `define.${cut(name)}: ${message}${at > 0 ? ` (character ${at + 1})` : ''}` };
}

/** The result of a matcher may be a number, which Casbin takes for a match. */
export function typeFaultsOfMatcher(set: TypeSources & Pick<CheckedTypes, 'model'>): readonly TypeFault[] {
  const text = set.model.matchers.get(set.manifest.definitions.m)?.value ?? '';
  return faultsIn(set.main.program.expression, text, booleanType | numberType, set);
}

/**
 * None for a text that does not parse.
 *
 * @param wanted as `typesOfConditions` gives it
 */
export function typeFaultsOfCondition(text: string, wanted: Types, set: TypeSources): readonly TypeFault[] {
  const condition = set.main.conditions.find(text);
  if (condition.run === undefined) return [];
  return faultsIn(condition.expression, text, wanted, set);
}

/** Types that the conditions of a column may have, by where the matcher runs them: true or false is wanted of a term. */
export function typesOfConditions(column: number, main: Combination): Types {
  const isOfColumn = (part: Expression): boolean => {
    const [text] = part.kind === 'call' && part.name === 'eval' ? part.args : [];
    return text?.kind === 'column' && main.policy.columns.get(text.name) === column;
  };
  const { expression } = main.program;
  if (isOfColumn(expression)) return booleanType | numberType;
  let [all, terms] = [0, 0];
  walk(expression, (part) => {
    if (isOfColumn(part)) all++;
    for (const term of termsOf(part)) if (isOfColumn(term)) terms++;
  });
  return all === terms ? booleanType : anyType;
}

function termsOf(part: Expression): readonly Expression[] {
  switch (part.kind) {
    case 'and':
    case 'or':
      return [part.left, part.right];
    case 'unary':
      return part.operator === '!' ? [part.operand] : [];
    case 'then':
    case 'quantified':
      return [part.condition];
    default:
      return [];
  }
}

/** What is wrong with the definition of a name is left out: it is told once, where the name is defined. */
function faultsIn(expression: Expression, text: string, wanted: Types, set: TypeSources): readonly TypeFault[] {
  const { faults, types } = infer(expression, set);
  if (faults.length === 0 && (types & wanted) === 0) {
    return [
      {
        code: 'not_a_condition',
        message: `the condition is ${describeTypes(types)}, which is neither true nor false`,
        hint: 'a condition is a comparison, a call that is true or false, or both with &&, || and !',
        at: expression.at,
      },
    ];
  }
  return faults.filter((fault) => {
    const [name] = /^[A-Za-z][A-Za-z0-9]*/.exec(text.slice(fault.at)) ?? [];
    const defined = name === undefined ? undefined : set.manifest.define.has(name) && definitions(set).find(name);
    if (!defined) return true;
    return !infer(defined, set).faults.some(({ code, message }) => code === fault.code && message === fault.message);
  });
}

function definitions({ main }: TypeSources): DefinedNames {
  return main.environment.definitions;
}

function infer(expression: Expression, set: TypeSources): { readonly types: Types; readonly faults: TypeFault[] } {
  const faults: TypeFault[] = [];
  const known: KnownTypes = {
    environment: set.main.environment,
    ofColumn: (name) => typesOfColumn(name, set),
    ofAttribute: (name, path) => typesOfAttribute(name, path, set),
    report: (fault) => faults.push(fault),
  };
  return { types: inferTypes(expression, known), faults };
}

function typesOfColumn(name: string, set: TypeSources): Types {
  const { main, schema } = set;
  const token = main.tokens[main.request.columns.get(name) ?? -1];
  if (token === undefined) return anyType;
  const { line, role } = token;
  if (line === undefined) {
    // A program that embeds the engine may ask with numbers, as examples of Casbin do.
    if (role === 'subject' || role === 'resource' || role === 'action') return textType | numberType;
    return role === 'attribute' && isHeld(set) ? typesAtPath(schema, 'environment', [token.token]) : anyType;
  }
  if (line.kind === 'template') return textType;
  return typesOfPath(line.path, set) & (textType | numberType) || anyType;
}

function typesOfPath(path: BindingPath, set: TypeSources): Types {
  const reading = readingOfPath(path);
  return reading === undefined ? textType : isHeld(set) ? typesAtPath(set.schema, reading.part, reading.path) : anyType;
}

function typesOfAttribute(name: string, path: readonly string[], set: TypeSources): Types {
  const token = set.main.tokens[set.main.request.columns.get(name) ?? -1];
  if (token === undefined) return anyType;
  const { role } = token;
  if (role === 'subject' || role === 'resource' || role === 'action') {
    const isOwn =
      path.length === 1 &&
      (path[0] === (role === 'action' ? 'name' : 'id') || (path[0] === 'type' && role !== 'action'));
    if (isOwn) return textType;
    const reading = attributeReading(role, path);
    if (reading === undefined) return anyType;
    const proved = isHeld(set) ? typesAtPath(set.schema, reading.part, reading.path) : anyType;
    return proved === anyType ? (set.suggested?.(reading) ?? anyType) : proved;
  }
  if (!isHeld(set)) return anyType;
  if (role === 'token') return path.length < 2 ? anyType : typesAtPath(set.schema, 'token', path);
  return typesAtPath(set.schema, 'environment', role === 'environment' ? path : [token.token, ...path]);
}

/** Whether what is evaluated fits the schema: else it says nothing of what a request has. */
function isHeld({ manifest }: TypeSources): boolean {
  return manifest.schemaRequests === 'deny' || manifest.schemaRequests === 'reject';
}
