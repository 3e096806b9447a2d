import type { EngineDecision } from '../core/decision.js';
import { type DecisionRequest, normaliseRequest } from '../core/request.js';
import type { EvaluationOptions, ServedPolicySet } from '../policy-store/served-policy-set.js';
import { Turns } from '../turns/turns.js';
import type { DecisionRecorder } from './decision-recorder.js';
import type { Asker } from './question.js';

/** One of a list. */
export interface ListItem {
  /** By which the record names it. */
  readonly name: string;
  /** All of them must be allowed, or it is left out. Without one it is kept: what it takes is not known yet. */
  readonly questions: readonly DecisionRequest[];
}

export interface FilteredList {
  /** Id of the list's record. */
  readonly decisionId: string;
  /** The deciding question's answer where the list itself is denied; nothing of it is allowed then. */
  readonly denial: EngineDecision | undefined;
  /** For each item, whether it stays. */
  readonly isKept: readonly boolean[];
}

/** Says what of a list somebody may see, all by one version, in one record. */
export class ListFilter {
  constructor(private readonly recorder: DecisionRecorder) {}

  /**
   * @param list the questions about the list itself: all must be allowed. The first of them stands in the record
   * @throws VerdictError when it cannot be recorded
   */
  async filter(
    set: ServedPolicySet,
    list: readonly [DecisionRequest, ...DecisionRequest[]],
    items: readonly ListItem[],
    asker: Asker,
  ): Promise<FilteredList> {
    const started = performance.now();
    const now = Date.now();
    const decided = (await decisive(set, list, { now, explain: 'brief' }))!;
    const { decision, reason, errors, obligations } = decided;
    const isAllowed = decision === 'allow';
    const isKept: boolean[] = [];
    const turns = new Turns();
    for (const { questions } of isAllowed ? items : []) {
      if (turns.isOver) await turns.next();
      const answer = await decisive(set, questions, { now, explain: 'none' });
      isKept.push(answer === undefined || answer.decision === 'allow');
    }
    const results = items.flatMap(({ name }, index) => (isKept[index] ? [name] : []));
    const search = { kind: 'resource' as const, examined: isKept.length, complete: true, results };
    const request = normaliseRequest(list[0]);
    const said = { request, received: now, now, started, decision, reason, errors, obligations, search };
    const record = this.recorder.recordOf(set, said, asker);
    await this.recorder.append(record);
    return { decisionId: record.id, denial: isAllowed ? undefined : decided, isKept };
  }
}

/** The answer that says whether all are allowed: the first that is not, else the last. Undefined without a question. */
async function decisive(
  set: ServedPolicySet,
  questions: readonly DecisionRequest[],
  options: EvaluationOptions,
): Promise<EngineDecision | undefined> {
  let answer: EngineDecision | undefined;
  for (const question of questions) {
    answer = await set.evaluate(normaliseRequest(question), options);
    if (answer.decision !== 'allow') break;
  }
  return answer;
}
