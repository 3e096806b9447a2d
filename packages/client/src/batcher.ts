import type { Wanted } from './answers.js';
import { Deadline } from './deadline.js';
import { isOutOfTime, isPassing, VerdictProblem } from './errors.js';
import type { DecisionAnswer, Problem } from './types.js';

export interface BatchLimits {
  /** Most questions of one batch: 500 by default. */
  readonly maxItems?: number;
}

type Outcome = DecisionAnswer | { readonly problem: Problem };

/** A question as JSON, and what its answer must be of. */
export interface WrittenQuestion {
  readonly body: string;
  readonly wanted: Wanted;
}

/** A question that waits for the end of the tick, and then for its call. */
interface Waiting extends WrittenQuestion {
  readonly deadline: Deadline;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
  hasLeft: boolean;
  /** Told when it gives up, by the call that it is a part of. */
  onLeave: () => void;
}

/** Asks several questions in one call. */
export type AskAll = (
  questions: readonly WrittenQuestion[],
  traceparent: string | undefined,
  deadline: Deadline,
) => Promise<readonly Outcome[]>;

/** The pause before what could not be answered just now is asked again. */
const pauseMs = 50;

/** Most characters of one batch. The service takes 8 MiB, and a character has up to four bytes. */
const maxLength = 2 ** 20;

/**
 * Joins the questions of one tick into one call. Each keeps its own deadline: one that gives up is answered at once, and the call
 * ends when nobody waits for it.
 *
 * Questions of different traces are not joined: a call has one `traceparent`, and the record of each decision names the trace
 * that it was made in.
 */
export class Batcher {
  private readonly byTrace = new Map<string | undefined, Waiting[]>();
  private readonly maxItems: number;

  constructor(
    private readonly askAll: AskAll,
    private readonly mayAskAgain: boolean,
    { maxItems = 500 }: BatchLimits,
  ) {
    if (!(Number.isInteger(maxItems) && maxItems > 0)) throw new TypeError('batch.maxItems is a whole number above 0');
    this.maxItems = maxItems;
  }

  ask(question: WrittenQuestion, traceparent: string | undefined, deadline: Deadline): Promise<Outcome> {
    return deadline.until<Outcome>(deadline.leftMs, (resolve, reject, onEnd) => {
      const { body, wanted } = question;
      const one: Waiting = { body, wanted, deadline, resolve, reject, hasLeft: false, onLeave: nothing };
      onEnd(() => {
        one.hasLeft = true;
        one.onLeave();
      });
      if (this.byTrace.size === 0) atEndOfTick(() => this.flush());
      const waiting = this.byTrace.get(traceparent);
      if (waiting === undefined) this.byTrace.set(traceparent, [one]);
      else waiting.push(one);
    });
  }

  private flush(): void {
    const all = [...this.byTrace];
    this.byTrace.clear();
    for (const [traceparent, waiting] of all) {
      for (const part of this.parts(waiting)) void this.send(part, traceparent);
    }
  }

  private *parts(waiting: readonly Waiting[]): Generator<readonly Waiting[]> {
    let part: Waiting[] = [];
    let length = 0;
    for (const one of waiting) {
      if (part.length === this.maxItems || (part.length > 0 && length + one.body.length > maxLength)) {
        yield part;
        part = [];
        length = 0;
      }
      part.push(one);
      length += one.body.length;
    }
    if (part.length > 0) yield part;
  }

  private async send(part: readonly Waiting[], traceparent: string | undefined, isAgain = false): Promise<void> {
    const waiting = part.filter(({ hasLeft }) => !hasLeft);
    if (waiting.length === 0) return;
    const call = new AbortController();
    for (const one of waiting) {
      one.onLeave = () => {
        if (waiting.every(({ hasLeft }) => hasLeft)) call.abort();
      };
    }
    const longest = Math.max(...waiting.map(({ deadline }) => deadline.leftMs));
    const soonest = () => Math.min(...waiting.filter(({ hasLeft }) => !hasLeft).map(({ deadline }) => deadline.leftMs));
    const deadline = new Deadline(Math.max(0, longest), call.signal, soonest);
    try {
      const outcomes = await this.askAll(waiting, traceparent, deadline);
      const isOpen = (index: number) => this.mayAskAgain && !isAgain && mayPass(outcomes[index] as Outcome);
      const open = waiting.filter((_, index) => isOpen(index));
      for (const [index, { resolve }] of waiting.entries()) if (!isOpen(index)) resolve(outcomes[index] as Outcome);
      if (open.length === 0) return;
      await deadline.pause(pauseMs);
      await this.send(open, traceparent, true);
    } catch (error) {
      // One of them may be at fault, such as with a character that no body may have, or they are too much only together.
      const isOfSome = error instanceof VerdictProblem && [400, 413].includes(error.status);
      if (isOfSome && waiting.length > 1) {
        const half = Math.ceil(waiting.length / 2);
        await Promise.all([
          this.send(waiting.slice(0, half), traceparent, isAgain),
          this.send(waiting.slice(half), traceparent, isAgain),
        ]);
      } else for (const { reject } of waiting) reject(error);
    }
  }
}

function nothing(): void {}

/** Whether the question may be answered in another call of several. */
export function mayPass(outcome: Outcome): boolean {
  return 'problem' in outcome && isPassing(outcome.problem) && !isOutOfTime(outcome.problem);
}

/** The turn of the event loop ends with it, where there is such a thing: whatever came in at once is asked at once. */
function atEndOfTick(work: () => void): void {
  const { setImmediate } = globalThis as { setImmediate?: (work: () => void) => unknown };
  if (setImmediate === undefined) setTimeout(work, 0);
  else setImmediate(work);
}
