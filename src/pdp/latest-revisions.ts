import type { PolicyStore } from '../policy-store/policy-store.js';

/** What the source says: the highest revision that it gave a set, or that it gave none, or nothing, since it cannot be asked. */
export type LatestRevision = KnownRevision | 'none' | 'unknown';

export interface KnownRevision {
  readonly revision: number;
  /** The source has had it since then at the latest, by the monotonic clock. */
  readonly since: number;
}

/** How long an answer of the source is waited for, in milliseconds. */
const patienceMs = 500;
/** Most questions that are under way. Beyond that the source counts as one that cannot be asked. */
const mostAsked = 16;
/** Most sets whose last answer is remembered. */
const mostRemembered = 64;

interface Asked {
  /** By the monotonic clock. */
  readonly began: number;
  readonly answer: Promise<LatestRevision>;
  /** The last answer that had a revision, to this question or to one before it. */
  last: KnownRevision | undefined;
}

/**
 * Asks the source for the highest revisions of sets. A request that has waited for a while shares the answer to a question that
 * began meanwhile, so that callers who demand what there is not cannot keep the source busy.
 */
export class LatestRevisions {
  private readonly asked = new Map<string, Asked>();
  private underWay = 0;

  constructor(private readonly store: Pick<PolicyStore, 'latestRevision'>) {}

  /**
   * What the source says of the set at `since` or later.
   *
   * @param since by the monotonic clock, in milliseconds
   */
  of(name: string, since: number): Promise<LatestRevision> {
    const before = this.asked.get(name);
    if (before !== undefined && before.began >= since) return before.answer;
    if (this.underWay >= mostAsked) return Promise.resolve('unknown');
    const began = performance.now();
    const answer = this.ask(name).then((revision): LatestRevision => {
      if (typeof revision === 'string') return revision;
      if (asked.last?.revision !== revision) asked.last = { revision, since: began };
      return asked.last;
    });
    const asked: Asked = { began, answer, last: before?.last };
    this.asked.delete(name);
    this.asked.set(name, asked);
    if (this.asked.size > mostRemembered) this.asked.delete(this.asked.keys().next().value!);
    return answer;
  }

  private ask(name: string): Promise<number | 'none' | 'unknown'> {
    this.underWay++;
    const answer = this.store
      .latestRevision(name)
      .then(
        (revision) => revision ?? ('none' as const),
        () => 'unknown' as const,
      )
      .finally(() => this.underWay--);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve('unknown'), patienceMs);
      void answer.then((said) => {
        clearTimeout(timer);
        resolve(said);
      });
    });
  }
}
