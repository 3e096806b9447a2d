import type { EngineDecision } from '../core/decision.js';
import { BindingError } from '../core/policy/binding.js';
import type { DecisionRequest, Json } from '../core/request.js';
import { type Comparison, knownDifferences } from './known-differences.js';
import { defaultStockCasbinLimits, type StockAnswer, StockCasbin, type StockCasbinLimits } from './stock-casbin.js';
import { type StockView, textOfColumns } from './stock-view.js';

/** Most rules of a set that is checked. With more, stock Casbin takes over 0.1 s for each request. */
const mostRules = 100_000;

/** The parts of a served policy set that the cross-check reads. */
export interface CrossCheckedSet {
  readonly name: string;
  readonly version: string;
  readonly engine: 'verdict' | 'casbin';
  /** Masks a request before a difference is logged. */
  mask(request: DecisionRequest): DecisionRequest;
  stockView(): StockView;
}

export interface CrossCheckLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

export interface CrossCheckOptions {
  /** 0 to 1: how many of the decisions that are observed are evaluated again. */
  readonly share: number;
  readonly log: CrossCheckLog;
  readonly limits?: StockCasbinLimits;
}

export interface CrossCheckCounts {
  /** Decisions that both evaluated. */
  readonly checked: number;
  readonly agreed: number;
  /** Differences that `known-differences.ts` explains, by code. */
  readonly known: Readonly<Record<string, number>>;
  /** Differences that nothing explains: a defect of one of the two. */
  readonly unexpected: number;
  /** Chosen decisions that were not evaluated, because too many were waiting. */
  readonly dropped: number;
  /** Chosen decisions for which stock Casbin took too long or too much memory. */
  readonly failed: number;
  /** Chosen decisions of a set that stock Casbin cannot run, or that were made without a matcher. */
  readonly uncheckable: number;
}

/** Why a set cannot be checked, by its name. */
export type Uncheckable = ReadonlyMap<string, readonly string[]>;

interface Loading {
  readonly version: string;
  readonly key: string;
  /** Resolves with the reasons why the set cannot be checked; empty if it can. */
  readonly obstacles: Promise<readonly string[]>;
}

/**
 * Evaluates a share of all decisions again on stock Casbin, after they were answered, and tells where it disagrees. It
 * never delays an answer: what it cannot keep up with is dropped, and counted.
 *
 *     const check = new CrossCheck({ share: 0.01, log });
 *     check.observe(set, request, now, decision);   // returns at once
 *     check.counts;                                 // { checked: 1, agreed: 1, … }
 */
export class CrossCheck {
  private readonly limits: StockCasbinLimits;
  private readonly stock: StockCasbin;
  private readonly sets = new Map<string, Loading>();
  private readonly reasons = new Map<string, readonly string[]>();
  private readonly known = new Map<string, number>();
  private readonly totals = { checked: 0, agreed: 0, unexpected: 0, dropped: 0, failed: 0, uncheckable: 0 };
  private pending = 0;
  private loads = 0;

  constructor(private readonly options: CrossCheckOptions) {
    this.limits = options.limits ?? defaultStockCasbinLimits;
    this.stock = new StockCasbin(this.limits);
  }

  /** `now` is the decision's clock, in milliseconds since the epoch; no function of stock Casbin's reads one. */
  observe(set: CrossCheckedSet, request: DecisionRequest, now: number, decision: EngineDecision): void {
    if (this.options.share <= 0 || Math.random() >= this.options.share || set.engine === 'casbin') return;
    if (this.pending >= this.limits.queue) {
      this.totals.dropped++;
      return;
    }
    this.pending++;
    setImmediate(() => {
      this.check(set, request, now, decision)
        .catch((error) => this.options.log.warn({ err: error, policySet: set.name }, 'cross-check failed'))
        .finally(() => {
          this.pending--;
        });
    });
  }

  get counts(): CrossCheckCounts {
    return Object.freeze({ ...this.totals, known: Object.freeze(Object.fromEntries(this.known)) });
  }

  get uncheckable(): Uncheckable {
    return this.reasons;
  }

  /** Resolves when everything that was observed is counted. */
  async settled(): Promise<void> {
    while (this.pending > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  async stop(): Promise<void> {
    await this.stock.stop();
    if (this.options.share > 0) this.options.log.info({ ...this.counts }, 'decisions that were cross-checked');
  }

  private async check(
    set: CrossCheckedSet,
    request: DecisionRequest,
    now: number,
    ours: EngineDecision,
  ): Promise<void> {
    const { key, obstacles } = this.loadingOf(set);
    const view = set.stockView();
    const bound = (await obstacles).length > 0 ? undefined : view.bind(request);
    if (bound === undefined || bound instanceof BindingError) {
      this.totals.uncheckable++;
      return;
    }
    const { values } = bound;
    const theirs = await this.stock.enforce(key, values);
    if (theirs.kind === 'failure' && theirs.code !== 'stock_casbin_error') {
      this.totals.failed++;
      return;
    }
    this.totals.checked++;
    const comparison = compare(view, values, ours, theirs);
    if (comparison === 'same') {
      this.totals.agreed++;
      return;
    }
    const known = knownDifferences.find((difference) => difference.explains(comparison))?.code;
    if (known === undefined) this.totals.unexpected++;
    else this.known.set(known, (this.known.get(known) ?? 0) + 1);
    const details = {
      policySet: set.name,
      policyVersion: set.version,
      request: set.mask(request),
      clock: new Date(now).toISOString(),
      verdict: { decision: ours.decision, reason: ours.reason, errors: ours.errors },
      stockCasbin: theirs,
      known,
    };
    if (known === undefined) this.options.log.warn(details, 'stock Casbin answers otherwise');
    else this.options.log.info(details, 'stock Casbin answers otherwise, as it is known to');
  }

  /** Loads a set into the thread when it is first observed; a newer version of it takes the older one's place. */
  private loadingOf(set: CrossCheckedSet): Loading {
    const present = this.sets.get(set.name);
    if (present?.version === set.version) return present;
    if (present !== undefined) this.stock.forget(present.key);
    const key = `${set.name} ${++this.loads}`;
    const loading: Loading = { version: set.version, key, obstacles: this.load(set, key) };
    this.sets.set(set.name, loading);
    return loading;
  }

  private async load(set: CrossCheckedSet, key: string): Promise<readonly string[]> {
    const view = set.stockView();
    let { obstacles } = view;
    const rules = view.combination?.rules.length ?? 0;
    if (rules > mostRules) obstacles = [`it has ${rules} rules, which stock Casbin would take too long for`];
    if (obstacles.length === 0) {
      try {
        await this.stock.load(view.stockSet(key));
      } catch (error) {
        obstacles = [`stock Casbin does not load it: ${(error as Error).message}`];
      }
    }
    if (obstacles.length === 0) this.reasons.delete(set.name);
    else {
      this.reasons.set(set.name, obstacles);
      this.options.log.warn({ policySet: set.name, obstacles }, 'this policy set cannot be cross-checked');
    }
    return obstacles;
  }
}

function compare(
  view: StockView,
  values: readonly (Json | undefined)[],
  ours: EngineDecision,
  theirs: StockAnswer,
): Comparison | 'same' {
  const sameDecision = theirs.kind === 'answer' && theirs.allowed === (ours.decision === 'allow');
  if (sameDecision && sameRule(ours, theirs.rule)) return 'same';
  return { view, values, ours, theirs, sameDecision };
}

/** Whether both name the same rule. Where either names none there is nothing to compare. */
function sameRule(ours: EngineDecision, theirs: readonly string[]): boolean {
  const rule = ours.reason.rule?.slice(1);
  return rule === undefined || theirs.length === 0 || textOfColumns(rule) === textOfColumns(theirs);
}
