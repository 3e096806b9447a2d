/** A policy set for stock Casbin: its texts, its request values, and the reasons why stock Casbin cannot run it. */
import { type BoundValues, bindValues } from '../core/engine/ask.js';
import { type Expression, walk } from '../core/matcher/ast.js';
import { EntityAttributes } from '../core/matcher/entity-attributes.js';
import type { AttributeSource } from '../core/matcher/scope.js';
import { BindingError } from '../core/policy/binding.js';
import { type Combination, isCombination } from '../core/policy/combination.js';
import type { CompiledPolicySet } from '../core/policy/compile.js';
import { expressionsOf } from '../core/policy/expressions.js';
import type { DecisionRequest, Json, JsonObject } from '../core/request.js';
import type { Rule } from '../core/rules/rule-store.js';
import type { RoleMatching, StockSet } from './messages.js';

/** Texts of the files that stock Casbin reads. */
export interface StockTexts {
  readonly model: string;
  /** In the order in which they are read. */
  readonly rules: readonly string[];
}

/** Registered in every enforcer of the `casbin` package. */
const stockFunctions: ReadonlySet<string> = new Set([
  'eval',
  'globMatch',
  'ipMatch',
  'keyGet',
  'keyGet2',
  'keyMatch',
  'keyMatch2',
  'keyMatch3',
  'keyMatch4',
  'keyMatch5',
  'regexMatch',
]);

export class StockView {
  /** Why stock Casbin cannot run this set; empty if it can. */
  readonly obstacles: readonly string[];
  /** The matcher and every condition that `eval()` may be given. */
  readonly expressions: readonly Expression[];
  readonly combination: Combination | undefined;
  private readonly readsAttributes: ReadonlySet<string>;
  /** Index of the first rule by the text of its columns. */
  private places: ReadonlyMap<string, number> | undefined;

  constructor(
    readonly compiled: CompiledPolicySet,
    private readonly texts: StockTexts,
  ) {
    this.combination = isCombination(compiled.main) ? compiled.main : undefined;
    this.expressions = this.combination === undefined ? [] : [...expressionsOf(this.combination)];
    const attributes = new Set<string>();
    const calls = new Set<string>();
    for (const expression of this.expressions) {
      walk(expression, (part) => {
        if (part.kind === 'attribute') attributes.add(part.name);
        if (part.kind === 'call') calls.add(part.name);
        if (part.kind === 'quantified') calls.add(part.quantifier);
      });
    }
    this.readsAttributes = attributes;
    this.obstacles = this.findObstacles(calls);
  }

  stockSet(key: string): StockSet {
    const { definitions, roleMatching } = this.compiled.manifest;
    const matching: RoleMatching[] = [];
    for (const [definition, { names, domains }] of roleMatching) {
      if (names !== undefined) matching.push({ definition, of: 'names', function: names });
      if (domains !== undefined) matching.push({ definition, of: 'domains', function: domains });
    }
    const withoutMark = (text: string) => text.replace(/^\uFEFF/, '');
    return {
      key,
      model: withoutMark(this.texts.model),
      rules: this.texts.rules.map(withoutMark).join('\n'),
      definitions,
      roleMatching: matching,
    };
  }

  /**
   * The request's values in the order of the request definition. A token whose attributes are read gets the entity with
   * all of them, any other token its value.
   */
  bind(request: DecisionRequest): Pick<BoundValues, 'values' | 'warnings'> | BindingError {
    const { combination } = this;
    const bound = bindValues(this.compiled, request);
    if (bound instanceof BindingError || combination === undefined) return bound;
    const values: (Json | undefined)[] = [];
    for (const [index, { token, readAsValue }] of combination.tokens.entries()) {
      const value = this.readsAttributes.has(`${combination.request.key}_${token}`)
        ? wholeOf(bound.sources[index])
        : bound.values[index];
      // Stock Casbin would compare a missing value with undefined, and find two missing values equal.
      if (value === undefined && readAsValue) {
        return new BindingError('missing_binding', `the request has no r.${token}`);
      }
      values.push(value);
    }
    return { values, warnings: bound.warnings };
  }

  /** The rule that stock Casbin names by its columns. It trims them, so the comparison does too. */
  ruleOf(columns: readonly string[]): Rule | undefined {
    if (this.places === undefined) {
      const places = new Map<string, number>();
      let place = 0;
      for (const { fields } of this.combination?.rules ?? []) {
        const text = textOfColumns(fields);
        if (!places.has(text)) places.set(text, place);
        place++;
      }
      this.places = places;
    }
    const place = this.places.get(textOfColumns(columns));
    return place === undefined ? undefined : this.combination?.rules.at(place);
  }

  private findObstacles(calls: ReadonlySet<string>): readonly string[] {
    const { combination, compiled } = this;
    if (combination === undefined) return ['its definitions cannot be evaluated'];
    const obstacles: string[] = [];
    for (const name of calls) {
      if (!stockFunctions.has(name) && !compiled.model.roles.has(name)) {
        obstacles.push(`stock Casbin has no function ${name}`);
      }
    }
    if (compiled.manifest.define.size > 0) obstacles.push('stock Casbin knows no names that a manifest defines');
    if (compiled.manifest.tokens.size > 0) obstacles.push('stock Casbin is not asked with verified tokens');
    for (const { token, readAsValue } of combination.tokens) {
      if (readAsValue && this.readsAttributes.has(`${combination.request.key}_${token}`)) {
        obstacles.push(`r.${token} is read both as a value and by its attributes; in stock Casbin it is one of them`);
      }
    }
    for (const { key, conditionColumns } of compiled.model.roles.values()) {
      if (conditionColumns > 0) obstacles.push(`stock Casbin has no conditional roles, as ${key} are`);
    }
    return Object.freeze(obstacles);
  }
}

export function textOfColumns(columns: readonly string[]): string {
  return columns.map((column) => column.trim()).join('\0');
}

/** An entity as one object, so that `r.sub.id`, `r.sub.x` and `r.sub.attributes.x` read the same as in Verdict. */
function wholeOf(source: AttributeSource): Json | undefined {
  if (!(source instanceof EntityAttributes)) return source;
  const attributes = source.all();
  const whole: JsonObject = { properties: attributes, attributes, ...attributes };
  for (const name of ['type', 'id', 'name']) {
    const own = source.get(name);
    if (own === undefined) delete whole[name];
    else whole[name] = own;
  }
  return whole;
}
