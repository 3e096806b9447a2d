/**
 * JSON Schemas (draft 2020-12, the keywords of `schema.ts`), compiled to closures when a set loads.
 *
 * Ajv, which the APIs use for their own fixed schemas, is not used here: schema and value both come from outside. Ajv's
 * compiler takes a second for a thousand properties and overflows the stack with five thousand, and nothing bounds what
 * its code costs: definitions that name each other twice take exponential time. Here every check of a value is counted.
 */
import { FunctionError } from '../matcher/functions/function-definition.js';
import { compileRegularExpression } from '../matcher/functions/regular-expression.js';
import { isObject, ownMember } from '../matcher/values.js';
import type { Json, JsonObject } from '../request.js';
import { StepBudgetExceeded, type StepMeter, stepBudgetExceeded } from '../step-budget.js';
import { areDistinct, Checking, canonical, maxReferences, type SchemaCheck, type Test } from './schema-checking.js';
import { schemaFormats } from './schema-formats.js';

const anything: Test = () => true;

/** Compiles schemas that may refer to each other by `#/$defs/…`. */
export class SchemaCompiler {
  private readonly compiled = new Map<string, Test>();

  constructor(private readonly definitions: JsonObject) {}

  compile(schema: Json): SchemaCheck {
    const test = this.test(schema);
    return (value) => {
      const checking = new Checking();
      if (test(value, checking) && checking.stepsLeft >= 0) return undefined;
      return checking.stepsLeft < 0
        ? 'step_budget_exceeded'
        : (checking.fault ?? { path: [], message: 'does not fit' });
    };
  }

  private test(schema: Json): Test {
    if (!isObject(schema)) return schema === false ? (_, checking) => checking.fail('may not be there') : anything;
    const tests = this.testsOf(schema);
    return (value, checking) => {
      if (!checking.spend(1)) return false;
      for (const test of tests) if (!test(value, checking)) return false;
      return true;
    };
  }

  private testsOf(schema: JsonObject): readonly Test[] {
    return [
      ...(schema.type === undefined ? [] : [typeTest([schema.type].flat() as string[])]),
      ...(schema.enum === undefined
        ? []
        : [oneOfTest(schema.enum as Json[], 'must be one of the values of the schema')]),
      ...(schema.const === undefined ? [] : [oneOfTest([schema.const], 'must be the value of the schema')]),
      ...numberTests(schema),
      ...textTests(schema),
      ...this.arrayTests(schema),
      ...this.objectTests(schema),
      ...this.combinedTests(schema),
    ];
  }

  private arrayTests({ minItems, maxItems, uniqueItems, prefixItems, items, contains }: JsonObject): readonly Test[] {
    const tests: Test[] = [];
    const ofArrays = (test: (items: readonly Json[], checking: Checking) => boolean): void => {
      tests.push((value, checking) => !Array.isArray(value) || test(value, checking));
    };
    if (typeof minItems === 'number') {
      ofArrays((list, checking) => list.length >= minItems || checking.fail(`must have ${minItems} items or more`));
    }
    if (typeof maxItems === 'number') {
      ofArrays((list, checking) => list.length <= maxItems || checking.fail(`must have ${maxItems} items or fewer`));
    }
    if (uniqueItems === true) {
      ofArrays((list, checking) => areDistinct(list, checking) || checking.fail('must not have the same item twice'));
    }
    const first = Array.isArray(prefixItems) ? prefixItems.map((item) => this.test(item)) : [];
    const rest = items === undefined ? undefined : this.test(items);
    if (first.length > 0 || rest !== undefined) {
      ofArrays((list, checking) => {
        for (const [at, item] of list.entries()) {
          const test = first[at] ?? rest;
          if (test === undefined) return true;
          if (!checking.below(test, item, String(at))) return false;
        }
        return true;
      });
    }
    if (contains !== undefined) {
      const test = this.test(contains);
      ofArrays(
        (list, checking) =>
          list.some((item) => checking.fits(test, item)) || checking.fail('lacks an item that the schema wants'),
      );
    }
    return tests;
  }

  private objectTests(schema: JsonObject): readonly Test[] {
    const { minProperties, maxProperties, required, dependentRequired, propertyNames } = schema;
    const tests: Test[] = [];
    const ofObjects = (test: (object: JsonObject, checking: Checking) => boolean): void => {
      tests.push((value, checking) => !isObject(value) || test(value, checking));
    };
    if (typeof minProperties === 'number') {
      const message = `must have ${minProperties} members or more`;
      ofObjects((object, checking) => Object.keys(object).length >= minProperties || checking.fail(message));
    }
    if (typeof maxProperties === 'number') {
      const message = `must have ${maxProperties} members or fewer`;
      ofObjects((object, checking) => Object.keys(object).length <= maxProperties || checking.fail(message));
    }
    const need = (object: JsonObject, names: readonly string[], checking: Checking): boolean =>
      names.every((name) => (checking.spend(1) && Object.hasOwn(object, name)) || checking.fail('is required', name));
    if (Array.isArray(required)) ofObjects((object, checking) => need(object, required as string[], checking));
    for (const [name, others] of Object.entries(isObject(dependentRequired) ? dependentRequired : {})) {
      ofObjects((object, checking) => !Object.hasOwn(object, name) || need(object, others as string[], checking));
    }
    if (propertyNames !== undefined) {
      const test = this.test(propertyNames);
      ofObjects((object, checking) =>
        Object.keys(object).every(
          (name) => checking.fits(test, name) || checking.fail('has a name that does not fit', name),
        ),
      );
    }
    const members = this.membersTest(schema);
    if (members !== undefined) ofObjects(members);
    return tests;
  }

  private membersTest(schema: JsonObject): ((object: JsonObject, checking: Checking) => boolean) | undefined {
    const { properties, patternProperties, additionalProperties } = schema;
    if (properties === undefined && patternProperties === undefined && additionalProperties === undefined)
      return undefined;
    const named = new Map(
      Object.entries(isObject(properties) ? properties : {}).map(([name, of]) => [name, this.test(of)]),
    );
    const matching = Object.entries(isObject(patternProperties) ? patternProperties : {}).map(
      ([pattern, of]) => [searchFor(pattern), this.test(of)] as const,
    );
    const closed = additionalProperties === false;
    const additional = closed || additionalProperties === undefined ? undefined : this.test(additionalProperties);
    return (object, checking) => {
      for (const name of Object.keys(object)) {
        if (!checking.spend(1)) return false;
        const value = object[name] as Json;
        const test = named.get(name);
        let isNamed = test !== undefined;
        if (test !== undefined && !checking.below(test, value, name)) return false;
        for (const [search, of] of matching) {
          if (!search(name, checking)) continue;
          isNamed = true;
          if (!checking.below(of, value, name)) return false;
        }
        if (isNamed) continue;
        if (closed) return checking.fail('is not in the schema', name);
        if (additional !== undefined && !checking.below(additional, value, name)) return false;
      }
      return true;
    };
  }

  private combinedTests(schema: JsonObject): readonly Test[] {
    const tests: Test[] = [];
    const listOf = (keyword: 'allOf' | 'anyOf' | 'oneOf'): Test[] | undefined => {
      const list = schema[keyword];
      return Array.isArray(list) ? list.map((item) => this.test(item)) : undefined;
    };
    if (typeof schema.$ref === 'string') tests.push(this.reference(schema.$ref));
    tests.push(...(listOf('allOf') ?? []));
    const any = listOf('anyOf');
    if (any !== undefined) {
      const message = 'fits none of the forms that the schema has';
      tests.push((value, checking) => any.some((test) => checking.fits(test, value)) || checking.fail(message));
    }
    const one = listOf('oneOf');
    if (one !== undefined) {
      tests.push((value, checking) => {
        const fitting = one.filter((test) => checking.fits(test, value)).length;
        return (
          fitting === 1 ||
          checking.fail(fitting === 0 ? 'fits none of the forms that the schema has' : 'fits more than one form')
        );
      });
    }
    if (schema.not !== undefined) {
      const test = this.test(schema.not);
      tests.push(
        (value, checking) => !checking.fits(test, value) || checking.fail('has a form that the schema excludes'),
      );
    }
    if (schema.if !== undefined) {
      const condition = this.test(schema.if);
      const then = schema.then === undefined ? anything : this.test(schema.then);
      const otherwise = schema.else === undefined ? anything : this.test(schema.else);
      tests.push((value, checking) => (checking.fits(condition, value) ? then : otherwise)(value, checking));
    }
    return tests;
  }

  /** A definition is compiled once, when the first check needs it: it may refer to itself. */
  private reference(reference: string): Test {
    const name = definitionName(reference) ?? '';
    return (value, checking) => {
      let test = this.compiled.get(name);
      if (test === undefined) {
        test = this.test(ownMember(this.definitions, name) ?? false);
        this.compiled.set(name, test);
      }
      if (checking.references >= maxReferences) {
        checking.stepsLeft = -1;
        return false;
      }
      checking.references++;
      const fits = test(value, checking);
      checking.references--;
      return fits;
    };
  }
}

/** `#/$defs/money` → `money`: the only form of a reference. */
export function definitionName(reference: string): string | undefined {
  return /^#\/\$defs\/([^/~%]+)$/.exec(reference)?.[1];
}

function typeTest(types: readonly string[]): Test {
  const message = `must be ${types.join(' or ')}`;
  return (value, checking) => types.some((type) => isOfType(value, type)) || checking.fail(message);
}

function isOfType(value: Json, type: string): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      // `string`, `number` and `boolean` are also JavaScript's names.
      return typeof value === type;
  }
}

function oneOfTest(values: readonly Json[], message: string): Test {
  const texts = new Set(values.map((value) => canonical(value)));
  return (value, checking) => texts.has(canonical(value, checking)) || checking.fail(message);
}

function numberTests({
  minimum,
  maximum,
  exclusiveMinimum,
  exclusiveMaximum,
  multipleOf,
}: JsonObject): readonly Test[] {
  const tests: Test[] = [];
  const ofNumbers = (
    bound: Json | undefined,
    holds: (value: number, bound: number) => boolean,
    words: string,
  ): void => {
    if (typeof bound !== 'number') return;
    tests.push(
      (value, checking) => typeof value !== 'number' || holds(value, bound) || checking.fail(`${words} ${bound}`),
    );
  };
  ofNumbers(minimum, (value, bound) => value >= bound, 'must be at least');
  ofNumbers(maximum, (value, bound) => value <= bound, 'must be at most');
  ofNumbers(exclusiveMinimum, (value, bound) => value > bound, 'must be more than');
  ofNumbers(exclusiveMaximum, (value, bound) => value < bound, 'must be less than');
  ofNumbers(multipleOf, (value, bound) => Number.isInteger(value / bound), 'must be a multiple of');
  return tests;
}

function textTests({ minLength, maxLength, pattern, format }: JsonObject): readonly Test[] {
  const tests: Test[] = [];
  const ofTexts = (test: (text: string, checking: Checking) => boolean): void => {
    tests.push((value, checking) => typeof value !== 'string' || test(value, checking));
  };
  if (typeof minLength === 'number') {
    const message = `must have ${minLength} characters or more`;
    ofTexts((text, checking) => characters(text, checking) >= minLength || checking.fail(message));
  }
  if (typeof maxLength === 'number') {
    const message = `must have ${maxLength} characters or fewer`;
    ofTexts(
      (text, checking) => text.length <= maxLength || characters(text, checking) <= maxLength || checking.fail(message),
    );
  }
  if (typeof pattern === 'string') {
    const search = searchFor(pattern);
    ofTexts((text, checking) => search(text, checking) || checking.fail('must match the pattern of the schema'));
  }
  const isOfFormat = typeof format === 'string' ? schemaFormats.get(format) : undefined;
  if (isOfFormat !== undefined) {
    ofTexts(
      (text, checking) =>
        (checking.spend(text.length >> 3) && isOfFormat(text)) || checking.fail(`must be of the format ${format}`),
    );
  }
  return tests;
}

/** Code points, as JSON Schema counts. */
function characters(text: string, checking: Checking): number {
  if (!checking.spend(text.length >> 3)) return 0;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Steps of a pattern search that count as one step of a check. */
const searchStepsPerStep = 5;

/** Searches for a pattern anywhere in a text. A search that takes too long finds nothing. */
function searchFor(pattern: string): (text: string, checking: Checking) => boolean {
  const expression = compileRegularExpression(pattern);
  return (text, checking) => {
    const meter: StepMeter = {
      isFirst: () => true,
      spend: (steps) => {
        if (!checking.spend(steps / searchStepsPerStep)) throw stepBudgetExceeded;
      },
    };
    try {
      return expression.test(text, meter);
    } catch (error) {
      if (error instanceof FunctionError || error instanceof StepBudgetExceeded) return false;
      throw error;
    }
  };
}
