/** Comparisons and operands that would be wrong if attributes had no other types than in today's entities. */
import type { TypeFault } from '../matcher/infer-types.js';
import { anyType, type Types, typeOf } from '../matcher/value-types.js';
import { isObject, ownMember } from '../matcher/values.js';
import type { AttributeReading } from '../policy/attribute-reading.js';
import {
  inDefinition,
  typeFaultsOfCondition,
  typeFaultsOfDefinitions,
  typeFaultsOfMatcher,
  typesOfConditions,
} from '../policy/check-types.js';
import { conditionColumns } from '../policy/combination.js';
import type { PolicyProblem } from '../problem.js';
import type { Json } from '../request.js';
import { type Check, type LintedSet, rulesPerStep } from './linted-set.js';

export function* findUnlikelyTypes(set: LintedSet): Check {
  const { compiled, main } = set;
  const { manifest, schema, entities, model } = compiled;
  const known = new Map<string, Types>();
  const suggested = ({ part, path }: AttributeReading): Types => {
    if (part === 'action') return anyType;
    const key = JSON.stringify(path);
    let types = known.get(key);
    if (types === undefined) {
      types = 0;
      for (const { attributes } of entities) types |= typesIn(attributes, path);
      known.set(key, types);
    }
    return types === 0 ? anyType : types;
  };
  const proved = { manifest, main, schema, model };
  const likely = { ...proved, suggested };
  if (typeFaultsOfDefinitions(proved).length === 0) {
    for (const { name, at, message, ...fault } of typeFaultsOfDefinitions(likely)) {
      yield { ...warning({ ...fault, at, ...inDefinition(name, at, message) }), ...manifest.placeOf('define', name) };
    }
  }
  const definition = model.matchers.get(manifest.definitions.m);
  // What is proved to be wrong was said when the set was loaded.
  if (definition !== undefined && typeFaultsOfMatcher(proved).length === 0) {
    for (const fault of typeFaultsOfMatcher(likely)) {
      yield { ...warning(fault), file: model.file, ...definition.place(fault.at) };
    }
  }
  const columns = (main.callsEval ? conditionColumns(main.program.expression, main.policy) : []).map((column) => {
    const wanted = typesOfConditions(column, main);
    const ofTexts = new Map<string, readonly TypeFault[]>();
    const faultsOf = (text: string): readonly TypeFault[] => {
      let faults = ofTexts.get(text);
      if (faults === undefined) {
        const isProved = typeFaultsOfCondition(text, wanted, proved).length > 0;
        faults = isProved ? [] : typeFaultsOfCondition(text, wanted, likely);
        ofTexts.set(text, faults);
      }
      return faults;
    };
    return { column, faultsOf };
  });
  for (const [index, rule] of (columns.length === 0 ? [] : set.rules).entries()) {
    if (index % rulesPerStep === rulesPerStep - 1) yield undefined;
    for (const { column, faultsOf } of columns) {
      for (const fault of faultsOf(rule.fields[column] ?? '')) {
        yield { ...warning(fault), ...set.places.ofField(rule, column) };
      }
    }
  }
}

function typesIn(attributes: Json, path: readonly string[]): Types {
  let value: Json | undefined = attributes;
  for (const step of path) value = isObject(value) ? ownMember(value, step) : undefined;
  return value === undefined ? 0 : typeOf(value);
}

function warning({ message, hint }: TypeFault): Pick<PolicyProblem, 'severity' | 'code' | 'message' | 'hint'> {
  return {
    severity: 'warning',
    code: 'unlikely_types',
    message: `by the entities that there are, ${message}`,
    hint: `${hint}; schema.yaml says what else it may be`,
  };
}
