import { Counter, Gauge, type Registry } from 'prom-client';
import { type CandidateCount, isRun } from '../policy-store/candidates/candidate.js';
import type { PolicyCandidates } from '../policy-store/candidates/policy-candidates.js';

/** What candidates of policy sets do on this replica. */
export function addCandidateMetrics(registry: Registry, candidates: PolicyCandidates): void {
  const registers = [registry];
  const counter = (name: string, help: string, results: readonly CandidateCount[]) =>
    new Counter({
      name,
      help,
      labelNames: ['policy_set', 'result'],
      registers,
      collect() {
        this.reset();
        for (const [policy_set, counts] of candidates.ownCounts) {
          for (const result of results) this.inc({ policy_set, result }, counts.get(result) ?? 0);
        }
      },
    });
  counter(
    'verdict_candidate_comparisons_total',
    'Decisions that were to be made by the active version and by its candidate, by result: compared, or skipped for lack of time or room.',
    ['compared', 'skipped'],
  );
  counter(
    'verdict_candidate_differences_total',
    'Decisions in which the candidate differs from the active version: gained, lost, errors, obligations, or slow (longer than its gate).',
    ['gained', 'lost', 'errors', 'obligations', 'slow'],
  );
  new Counter({
    name: 'verdict_candidate_answers_total',
    help: 'Answers that the candidate of a policy set gave as a canary.',
    labelNames: ['policy_set'],
    registers,
    collect() {
      this.reset();
      for (const [policy_set, counts] of candidates.ownCounts) this.inc({ policy_set }, counts.get('answered') ?? 0);
    },
  });
  new Gauge({
    name: 'verdict_candidate_running',
    aggregator: 'max',
    help: '1 while the candidate of a policy set runs, 0 when it was held or withdrawn.',
    labelNames: ['policy_set', 'mode'],
    registers,
    collect() {
      this.reset();
      for (const candidate of candidates.known) {
        this.set({ policy_set: candidate.policySet, mode: candidate.mode }, isRun(candidate) ? 1 : 0);
      }
    },
  });
}
