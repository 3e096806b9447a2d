/** Conditions over records: `subject.department == 'finance' && resource.amount > 10000 && decision == 'allow'`. */
import { type Expression, walk } from '../core/matcher/ast.js';
import { compileExpression } from '../core/matcher/compile.js';
import { EntityAttributes } from '../core/matcher/entity-attributes.js';
import { type Environment, type Flaw, namesOf } from '../core/matcher/environment.js';
import { expressionSteps } from '../core/matcher/expression-steps.js';
import { builtInFunctions } from '../core/matcher/functions/built-in-functions.js';
import { noDefinitions } from '../core/matcher/known-names.js';
import { parseExpression } from '../core/matcher/parser.js';
import { type AttributeSource, withScope } from '../core/matcher/scope.js';
import { MatcherSyntaxError } from '../core/matcher/syntax-error.js';
import type { Action, Entity, Json } from '../core/request.js';
import { PatternLibrary } from '../core/roles/prepared-patterns.js';
import { StepBudgetExceeded, type StepMeter } from '../core/step-budget.js';
import { invalidParameter } from '../errors.js';
import type { DecisionRecord } from './decision-record.js';
import { maskedValue } from './mask.js';
import type { ResolvedPart, VersionEntities } from './recorded-entities.js';
import { isHashedValue } from './value-hash.js';

/** Longest text of a condition, in characters. */
export const longestCondition = 4_096;
/** Steps (core/step-budget.ts) for one record: a millisecond at most. One that needs more errs. */
export const stepsPerRecord = 100_000;
/** Steps that take about as long as reading the text of a record does. */
const stepsPerText = 256;

/** Whether a record meets a condition: `erred` where it cannot be said, since an attribute is missing or masked. */
export type ConditionOutcome = 'met' | 'not_met' | 'erred';

/** What a name of a condition stands for: its value, and what is read below it. */
interface ConditionColumn {
  readonly value: (record: DecisionRecord, entities: VersionEntities) => Json | undefined;
  readonly source?: (record: DecisionRecord, entities: VersionEntities) => AttributeSource;
}

const seconds = (time: string): number => Date.parse(time) / 1_000;
// Sound: what a record holds came from JSON.
const json = (value: unknown): Json | undefined => value as Json | undefined;
const plain = (value: (record: DecisionRecord, entities: VersionEntities) => unknown): ConditionColumn => ({
  value: (record, entities) => json(value(record, entities)),
});

/** The names are those of a record's members; times are numbers, as literals of times are in matchers. */
const columns: Readonly<Record<string, ConditionColumn>> = {
  subject: {
    value: ({ request }, entities) => entities.subjectOf(request).part.id,
    source: ({ request }, entities) => attributesOfEntity(entities.subjectOf(request)),
  },
  action: {
    value: ({ request }, entities) => entities.actionOf(request).name,
    source: ({ request }, entities) => attributesOfAction(entities.actionOf(request)),
  },
  resource: {
    value: ({ request }, entities) => entities.resourceOf(request).part.id,
    source: ({ request }, entities) => attributesOfEntity(entities.resourceOf(request)),
  },
  attributes: plain(({ request }, entities) => entities.attributesOf(request)),
  tokens: plain(({ request }, entities) => entities.tokensOf(request)),
  decision: plain(({ decision }) => decision),
  reason: { value: ({ reason }) => reason.code, source: ({ reason }) => json(reason) },
  errors: plain(({ errors }) => errors),
  obligations: plain(({ obligations }) => obligations),
  search: plain(({ search }) => search),
  policySet: plain(({ policySet }) => policySet),
  policyVersion: plain(({ policyVersion }) => policyVersion),
  revision: plain(({ revision }) => revision),
  semantics: plain(({ semantics }) => semantics),
  caller: plain(({ caller }) => caller),
  authentication: plain(({ authentication }) => authentication),
  via: plain(({ via }) => via),
  requestId: plain(({ requestId }) => requestId),
  traceId: plain(({ traceId }) => traceId),
  instance: plain(({ instance }) => instance),
  durationUs: plain(({ durationUs }) => durationUs),
  candidate: plain(({ candidate }) => candidate),
  masked: plain(({ masked = false }) => masked),
  local: { value: ({ local }) => local?.instance, source: ({ local }) => json(local) },
  disputed: {
    value: ({ disputed }) => disputed !== undefined,
    source: ({ disputed }) => json(disputed),
  },
  id: plain(({ id }) => id),
  time: plain(({ time }) => seconds(time)),
  clock: plain(({ clock }) => seconds(clock)),
};
const columnNames = Object.keys(columns);

/**
 * A condition in the language of matchers, compiled by the engine's own compiler: it reads the record and nothing else.
 *
 *     const condition = compileCondition("subject.department == 'finance' && decision == 'allow'");
 *     condition.outcome(record, entities)   // 'met'
 *
 * A function of the clock sees the clock that the decision saw.
 */
export class RecordCondition {
  private stepsUsed = 0;

  /** @param text as it was written; a cursor is for it alone */
  constructor(
    readonly text: string,
    private readonly used: readonly UsedColumn[],
    private readonly run: ReturnType<typeof compileExpression>,
    private readonly steps: number,
    private readonly callsFunctions: boolean,
    /** Values that fields of a record must have: with another one it does not match, and the condition does not err. */
    readonly implied: readonly ImpliedValue[],
  ) {}

  outcome(record: DecisionRecord, entities: VersionEntities): ConditionOutcome {
    return withScope((scope) => {
      const values: (Json | undefined)[] = [];
      const sources: AttributeSource[] = [];
      for (const { position, column, isValue, isSource } of this.used) {
        const { value, source } = column;
        if (isValue || source === undefined) sources[position] = values[position] = value(record, entities);
        if (isSource && source !== undefined) sources[position] = source(record, entities);
      }
      scope.values = values;
      scope.sources = sources;
      if (this.callsFunctions) scope.now = Date.parse(record.clock);
      scope.stepsLeft = stepsPerRecord - this.steps;
      try {
        const result = this.run(scope);
        return typeof result === 'boolean' ? (result ? 'met' : 'not_met') : 'erred';
      } catch (error) {
        if (error instanceof StepBudgetExceeded) return 'erred';
        throw error;
      } finally {
        this.stepsUsed += stepsPerRecord - Math.max(0, scope.stepsLeft);
      }
    });
  }

  /** What evaluating cost since this was last asked, in records whose text is read. */
  takeCost(): number {
    const cost = this.stepsUsed / stepsPerText;
    this.stepsUsed = 0;
    return cost;
  }
}

/** @throws VerdictError `invalid_request` for a text that cannot be compiled, with the place */
export function compileCondition(text: string): RecordCondition {
  const flaws: Flaw[] = [];
  const environment: Environment = {
    requestColumns: new Map(columnNames.map((name, position) => [name, position])),
    policyColumns: new Map(),
    roles: new Map(),
    functions: builtInFunctions,
    customFunctions: new Map(),
    hasEval: false,
    conditions: { find: () => ({ run: undefined, code: 'matcher_syntax', message: '', hint: undefined, at: 0 }) },
    definitions: noDefinitions,
    patterns: new PatternLibrary(),
    isMasked,
    report: (flaw) => flaws.push(flaw),
  };
  try {
    // As it is written: column prefixes are Casbin's, and so is the reading of texts byte by byte.
    const source = { text, originOf: (index: number) => index };
    const names = namesOf(environment);
    const expression = parseExpression(source, {
      ...names,
      isFunction: (name) => name !== 'hasRole' && names.isFunction(name),
    });
    const run = compileExpression(expression, environment);
    const [flaw] = flaws;
    if (flaw !== undefined) throw refusal(flaw.at, flaw.message, flaw.code === 'unknown_column' ? known : flaw.hint);
    const positions = usedColumns(expression);
    let callsFunctions = false;
    walk(expression, ({ kind }) => {
      callsFunctions ||= kind === 'call' || kind === 'quantified';
    });
    return new RecordCondition(
      text,
      positions,
      run,
      expressionSteps(expression),
      callsFunctions,
      impliedBy(expression),
    );
  } catch (error) {
    if (!(error instanceof MatcherSyntaxError)) throw error;
    throw refusal(error.at, error.message, error.hint);
  }
}

/** Fields of which each record has a text that no mask hides. Those of `IndexedField` have an index. */
const impliedFields = ['requestId', 'caller', 'policyVersion', 'policySet', 'reason', 'decision', 'via'] as const;

export interface ImpliedValue {
  readonly field: (typeof impliedFields)[number];
  readonly value: string;
}

/** A text that matchers read as a time, which is a number. */
const likeTime = /^\d{4}-\d\d-\d\d/;

/**
 * What the terms say that are evaluated first: `decision == 'deny' && via == 'batch' && subject.level > 5` gives two values. The
 * first term of another form ends it, since that can err before the next one is evaluated.
 */
function impliedBy(expression: Expression): ImpliedValue[] {
  const implied: ImpliedValue[] = [];
  for (const term of termsOf(expression)) {
    const value = impliedValue(term);
    if (value === undefined) break;
    implied.push(value);
  }
  return implied;
}

/** The terms of `a && b && …` in the order in which they are evaluated. */
function termsOf(expression: Expression): readonly Expression[] {
  return expression.kind === 'and' ? [...termsOf(expression.left), ...termsOf(expression.right)] : [expression];
}

function impliedValue(term: Expression): ImpliedValue | undefined {
  if (term.kind !== 'binary' || term.operator !== '==') return undefined;
  const [column, literal] = term.left.kind === 'column' ? [term.left, term.right] : [term.right, term.left];
  if (column.kind !== 'column' || literal.kind !== 'literal' || typeof literal.value !== 'string') return undefined;
  const field = impliedFields.find((name) => name === column.name);
  return field === undefined || likeTime.test(literal.value) ? undefined : { field, value: literal.value };
}

/** A name that a condition reads: as a value, or what is below it. `has` takes both for a path. */
interface UsedColumn {
  readonly position: number;
  readonly column: ConditionColumn;
  readonly isValue: boolean;
  readonly isSource: boolean;
}

function usedColumns(expression: Expression): UsedColumn[] {
  const read = { column: new Set<string>(), attribute: new Set<string>() };
  walk(expression, (part) => {
    if (part.kind === 'column' || part.kind === 'attribute') read[part.kind].add(part.name);
  });
  return columnNames.flatMap((name, position) => {
    const isValue = read.column.has(name);
    const isSource = isValue || read.attribute.has(name);
    return isSource ? [{ position, column: columns[name]!, isValue, isSource }] : [];
  });
}

const known = `a record has ${columnNames.join(', ')}`;

function refusal(at: number, message: string, hint: string | undefined) {
  const fault = `is no condition: character ${at + 1}: ${message}${hint === undefined ? '' : ` (${hint})`}`;
  return invalidParameter('filter', fault);
}

/** As expressions read parts that are remembered. */
const knownAttributes = new WeakMap<ResolvedPart<Entity>, EntityAttributes>();

/** Where stored attributes are not known, none is: one of them may have been read in place of the request's. */
function attributesOfEntity(resolved: ResolvedPart<Entity>): EntityAttributes {
  const known = knownAttributes.get(resolved);
  if (known !== undefined) return known;
  const made = makeAttributes(resolved);
  if (resolved.isKept) knownAttributes.set(resolved, made);
  return made;
}

function makeAttributes({ part, unresolved }: ResolvedPart<Entity>): EntityAttributes {
  const { type, id, attributes } = part;
  const requested = unresolved === undefined ? attributes : undefined;
  return new EntityAttributes({ own: { type, id }, requested, stored: undefined, precedence: 'request' });
}

function attributesOfAction({ name, attributes }: Action): EntityAttributes {
  return new EntityAttributes({ own: { name }, requested: attributes, stored: undefined, precedence: 'request' });
}

/** Whether a value is masked or has a masked part. A comparison with it would say nothing of what was there. */
function isMasked(value: Json, meter: StepMeter): boolean {
  if (typeof value === 'string') return value === maskedValue || isHashedValue(value);
  if (value === null || typeof value !== 'object') return false;
  const members = Array.isArray(value) ? value : Object.values(value);
  meter.spend(members.length);
  return members.some((member) => isMasked(member, meter));
}
