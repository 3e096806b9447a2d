import { firstPlace } from '../engine/first-place.js';
import { type Expression, walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { patternKey, prefixFunctions } from '../matcher/pattern-key.js';
import { conjunction, picksCandidates } from '../matcher/program.js';
import { type Evaluator, fault, Scope } from '../matcher/scope.js';
import type { Combination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { requestColumnsOf } from '../policy/selector.js';
import { MatchingFunctionFailed } from '../roles/name-matching.js';
import { RoleHolders } from '../roles/role-holders.js';
import { itemsPerStep } from '../steps.js';
import type { Around, KnownPart } from './known-part.js';

/** Places in the list of candidates of those that could be allowed; undefined if any could. */
export type RulePlaces = Int32Array | undefined;

/** If more than one in this number of candidates could be allowed, deciding all takes no longer. */
const worthwhileShare = 8;
const alwaysWorthwhile = 100;

/** A role that an allowed subject must hold: its definition, its domain, the column with its name. */
interface HeldRoles {
  readonly relation: string;
  readonly domain: string;
  readonly column: number;
  readonly roles: Set<string>;
}

/**
 * One search: for each rule that the known part of the question can match it notes the ids, the beginnings of ids and
 * the roles for which the matcher can hold, then looks these up among the candidates.
 */
export class BackwardSearch {
  private readonly scope = new Scope();
  private readonly ids = new Set<string>();
  private readonly beginnings = new Set<string>();
  private readonly held = new Map<string, HeldRoles>();
  private readonly tests = new Map<Expression, Evaluator | undefined>();
  private readonly main: Combination;
  private readonly most: number;

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly known: KnownPart,
    /** Sorted by code units. */
    private readonly candidates: readonly string[],
    /** By role definition; those that are missing are added. */
    private readonly holders: Map<string, RoleHolders>,
  ) {
    this.main = known.main;
    this.most = Math.max(alwaysWorthwhile, Math.floor(candidates.length / worthwhileShare));
    this.scope.values = known.values;
    this.scope.rules = known.main.rules;
    this.scope.roles = known.main.roles;
    // A term that fails for want of steps would be taken for one that does not hold.
    this.scope.stepsLeft = Number.POSITIVE_INFINITY;
  }

  /** Returns undefined, which excludes no candidate, also if a term cannot be evaluated. */
  *run(): Generator<void, RulePlaces> {
    try {
      return yield* this.find();
    } catch (error) {
      if (error instanceof RangeError || error instanceof MatchingFunctionFailed) return undefined;
      throw error;
    }
  }

  private *find(): Generator<void, RulePlaces> {
    const { main, known, scope } = this;
    const found = yield* main.plan.candidatesOfPart(scope, known.unknown);
    const start = found?.start ?? 0;
    const end = found?.end ?? main.rules.length;
    for (let at = start; at < end; at++) {
      if (at % itemsPerStep === 0) yield;
      scope.rule = found === undefined ? at : (found.rules[at] as number);
      if (main.rules.effect(scope.rule) !== 'allow') continue;
      if (this.anyoneMay(main.program.expression) || this.ids.size > this.most) return undefined;
    }
    for (const held of this.held.values()) if (yield* this.tooManyHold(held)) return undefined;
    return this.placesFound();
  }

  /**
   * Notes for whom a term can hold on the rule in scope.
   *
   * @returns true when that may be anyone
   */
  private anyoneMay(term: Expression): boolean {
    const test = this.testOf(term);
    if (test !== undefined) {
      // What fails does not hold; a number may.
      const holds = test(this.scope);
      return holds !== false && holds !== fault;
    }
    switch (term.kind) {
      case 'and': {
        const terms = conjunction(term);
        // First what needs no one to ask it: if it does not hold, it holds for nobody.
        for (const part of terms) if (this.testOf(part) !== undefined && !this.anyoneMay(part)) return false;
        return terms.every((part) => this.testOf(part) !== undefined || this.anyoneMay(part));
      }
      case 'or': {
        const left = this.anyoneMay(term.left);
        return this.anyoneMay(term.right) || left;
      }
      case 'binary':
        if (term.operator !== '==') return true;
        return this.noteEqual(term.left, [term.right]) && this.noteEqual(term.right, [term.left]);
      case 'in':
        return term.right.kind !== 'list' || this.noteEqual(term.left, term.right.items);
      case 'call':
        return this.set.roles.has(term.name) ? this.noteHolders(term) : this.notePath(term);
      default:
        return true;
    }
  }

  /** A term that asks nothing of who is searched for, compiled; undefined for others, and for what changes with time. */
  private testOf(term: Expression): Evaluator | undefined {
    if (!this.tests.has(term)) this.tests.set(term, this.compileTest(term));
    return this.tests.get(term);
  }

  private compileTest(term: Expression): Evaluator | undefined {
    const { environment } = this.main;
    const isPlain = term.kind === 'literal' || term.kind === 'column' || picksCandidates(term, environment);
    if (!isPlain && !this.isPathCall(term)) return undefined;
    if (requestColumnsOf(term, environment).some((column) => this.known.unknown.has(column))) return undefined;
    let changes = false;
    walk(term, (part) => {
      if (part.kind === 'call') changes ||= this.set.roles.get(part.name)?.isConditional === true;
    });
    return changes ? undefined : compileExpression(term, { ...environment, report: () => {} });
  }

  /** `keyMatch(r.obj, p.obj)` and its like, of columns and literals alone. */
  private isPathCall(term: Expression): term is Extract<Expression, { kind: 'call' }> {
    if (term.kind !== 'call' || term.args.length !== 2 || !prefixFunctions.has(term.name)) return false;
    const { customFunctions, roles } = this.main.environment;
    if (customFunctions.has(term.name) || roles.has(term.name)) return false;
    return term.args.every(({ kind }) => kind === 'column' || kind === 'literal');
  }

  /** The column of the request that an expression is, if its value is the id or a text around it. */
  private openColumn(expression: Expression | undefined): number | undefined {
    if (expression?.kind !== 'column') return undefined;
    const column = this.main.environment.requestColumns.get(expression.name);
    return column !== undefined && this.known.open.has(column) ? column : undefined;
  }

  private noteEqual(asked: Expression, given: readonly Expression[]): boolean {
    const column = this.openColumn(asked);
    if (column === undefined) return true;
    for (const part of given) {
      const value = this.testOf(part);
      if (value === undefined) return true;
      const found = value(this.scope);
      // A list among the items of a list may stand for its own items.
      for (const item of Array.isArray(found) ? found : [found]) this.noteText(column, item);
    }
    return false;
  }

  /** `g(r.sub, p.sub[, r.dom])`. */
  private noteHolders({ name, args }: Extract<Expression, { kind: 'call' }>): boolean {
    const graph = this.set.roles.get(name);
    const column = this.openColumn(args[0]);
    const roleOf = args[1] && this.testOf(args[1]);
    const domainOf = args[2] === undefined ? () => '' : this.testOf(args[2]);
    if (graph === undefined || graph.matchesNames || args.length > 3) return true;
    if (column === undefined || roleOf === undefined || domainOf === undefined) return true;
    const [role, domain] = [roleOf(this.scope), domainOf(this.scope)];
    if (typeof role !== 'string' || typeof domain !== 'string') return false;
    const key = JSON.stringify([name, domain, column]);
    let held = this.held.get(key);
    if (held === undefined) {
      held = { relation: name, domain, column, roles: new Set() };
      this.held.set(key, held);
    }
    held.roles.add(role);
    return false;
  }

  private notePath(call: Extract<Expression, { kind: 'call' }>): boolean {
    if (!this.isPathCall(call)) return true;
    const [name, pattern] = call.args;
    const column = this.openColumn(name);
    const patternOf = pattern && this.testOf(pattern);
    if (column === undefined || patternOf === undefined) return true;
    const text = patternOf(this.scope);
    if (typeof text !== 'string') return false;
    const key = patternKey(call.name, text);
    if (key.kind === 'exact' && call.name !== 'keyMatch5') {
      this.noteText(column, key.text);
      return false;
    }
    return this.noteBeginning(column, key.text);
  }

  private noteText(column: number, value: unknown): void {
    const { before, after } = this.known.open.get(column) as Around;
    if (typeof value !== 'string' || value.length < before.length + after.length) return;
    if (!value.startsWith(before) || !value.endsWith(after)) return;
    this.ids.add(value.slice(before.length, value.length - after.length));
  }

  private noteBeginning(column: number, text: string): boolean {
    const { before, after } = this.known.open.get(column) as Around;
    if (before.startsWith(text)) return true;
    if (!text.startsWith(before)) return false;
    if (after !== '') return true;
    this.beginnings.add(text.slice(before.length));
    return false;
  }

  private *tooManyHold({ relation, domain, column, roles }: HeldRoles): Generator<void, boolean> {
    for (const role of roles) this.noteText(column, role);
    const links = this.set.table.groupings.get(relation);
    const graph = this.set.roles.get(relation);
    if (links === undefined || graph === undefined) return true;
    let holders = this.holders.get(relation);
    if (holders === undefined) {
      holders = yield* RoleHolders.build(links, graph.liveLinks);
      this.holders.set(relation, holders);
    }
    const most = this.most + roles.size;
    const below = yield* holders.below(roles, graph.domainsOf(domain), most);
    // They are not all of them then, and some may read back to no id.
    if (below.size > most) return true;
    for (const name of below) this.noteText(column, name);
    return this.ids.size > this.most;
  }

  private placesFound(): RulePlaces {
    const { candidates, ids, beginnings, most } = this;
    const places = new Set<number>();
    for (const id of ids) {
      const place = firstFrom(candidates, id);
      if (candidates[place] === id) places.add(place);
    }
    for (const beginning of beginnings) {
      for (let place = firstFrom(candidates, beginning); candidates[place]?.startsWith(beginning); place++) {
        places.add(place);
        if (places.size > most) return undefined;
      }
    }
    return Int32Array.from(places).sort();
  }
}

/** The place of the first text that is not before `text`. */
function firstFrom(sorted: readonly string[], text: string): number {
  return firstPlace(sorted.length, (place) => (sorted[place] as string) >= text);
}
