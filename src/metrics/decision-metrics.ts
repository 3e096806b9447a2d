import { Counter, Histogram, type Registry } from 'prom-client';
import type { Effect, ReasonCode } from '../core/decision.js';
import type { NewDecisionRecord } from '../decision-log/decision-record.js';
import type { DecisionObserver } from '../pdp/decision-recorder.js';
import { Distribution, type Observer } from './distribution.js';

/** Counters of one policy set, found by one map look-up. */
interface SetCounts {
  readonly allow: Map<ReasonCode, number>;
  readonly deny: Map<ReasonCode, number>;
  readonly durations: Observer;
}

/** Evaluation takes microseconds; beyond a tenth of a second something is wrong. */
const evaluationSeconds = [5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 0.025, 0.1, 1];
const batchSizes = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/** Decisions by set, outcome and reason. Subjects and resources are not labels, since their number has no bound. */
export class DecisionMetrics implements DecisionObserver {
  private readonly sets = new Map<string, SetCounts>();
  private readonly durations: Distribution;
  private readonly batches: Histogram;

  constructor(registry: Registry) {
    const sets = this.sets;
    new Counter({
      name: 'verdict_decisions_total',
      help: 'Decisions that were answered, by policy set, outcome and reason.',
      labelNames: ['policy_set', 'decision', 'reason'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [policy_set, counts] of sets) {
          for (const decision of ['allow', 'deny'] as const satisfies Effect[]) {
            for (const [reason, count] of counts[decision]) this.inc({ policy_set, decision, reason }, count);
          }
        }
      },
    });
    this.durations = new Distribution(registry, {
      name: 'verdict_evaluation_duration_seconds',
      help: 'Time from a question to its decision, without HTTP and without recording it.',
      label: 'policy_set',
      bounds: evaluationSeconds,
    });
    this.batches = new Histogram({
      name: 'verdict_batch_size',
      help: 'Questions in a request that asked several at once.',
      buckets: batchSizes,
      registers: [registry],
    });
  }

  answered({ policySet, decision, reason, durationUs }: NewDecisionRecord): void {
    const counts = this.sets.get(policySet) ?? this.add(policySet);
    const reasons = counts[decision];
    reasons.set(reason.code, (reasons.get(reason.code) ?? 0) + 1);
    counts.durations.observe(durationUs / 1e6);
  }

  answeredBatch(size: number): void {
    this.batches.observe(size);
  }

  /** Removes the series of a set that was removed, so that memory does not grow with every name. */
  forget(policySet: string): void {
    this.sets.delete(policySet);
    this.durations.remove(policySet);
  }

  private add(policySet: string): SetCounts {
    const counts: SetCounts = { allow: new Map(), deny: new Map(), durations: this.durations.of(policySet) };
    this.sets.set(policySet, counts);
    return counts;
  }
}
