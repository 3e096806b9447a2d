import type { RecordPosition } from './record-position.js';

/** A row's place in the order of rows: by `until`, then writer, then `first`; read from the highest to the lowest. */
export interface RowKey {
  /** The highest time of its records, in milliseconds since 1970. */
  readonly until: number;
  readonly writer: number;
  /** The sequence of its first record. */
  readonly first: number;
}

/** A source has been read down to here: all that is left of it lies below this key. */
export interface Passed extends RowKey {
  /** What reading on to here cost, in records whose text is read (`searchBudget`). */
  readonly cost: number;
}

/** A row that may hold what is looked for. */
export interface Candidate extends Passed {
  /** The lowest time of its records. */
  readonly since: number;
  readonly count: number;
  /** The size of its text in bytes, or about that. */
  readonly bytes: number;
  /** Its text where that is at hand; otherwise it is read when it is wanted. */
  readonly records?: string;
  /** Records up to this sequence are passed over: another row has them. */
  readonly after?: number;
}

/**
 * Rows in their order. A source reads on in short statements: one that found nothing in a statement says how far it got
 * instead (`Passed`), so that the page can end there when its budget is used up.
 */
export interface CandidateSource {
  /** Undefined at the end. */
  next(): Promise<Candidate | Passed | undefined>;
}

export function isCandidate(step: Candidate | Passed): step is Candidate {
  return 'count' in step;
}

export function compareRows(a: RowKey, b: RowKey): number {
  return a.until - b.until || a.writer - b.writer || a.first - b.first;
}

/** Candidates that are at hand, in their order. */
export class ListedCandidates implements CandidateSource {
  private at = 0;

  constructor(private readonly candidates: readonly Candidate[]) {}

  async next(): Promise<Candidate | undefined> {
    return this.candidates[this.at++];
  }
}

/** Several sources as one, in order. */
export class MergedCandidates {
  private constructor(private readonly heads: { readonly source: CandidateSource; step: Candidate | Passed }[]) {}

  static async of(sources: readonly CandidateSource[]): Promise<MergedCandidates> {
    const heads = [];
    for (const source of sources) {
      const step = await source.next();
      if (step !== undefined) heads.push({ source, step });
    }
    return new MergedCandidates(heads);
  }

  /**
   * Every record of the rows that are still to come lies below this; undefined when none is to come. A row's records can be
   * at any times up to its `until`, and rows of one writer share no sequences.
   */
  get below(): RecordPosition | undefined {
    const step = this.highest?.step;
    if (step === undefined) return undefined;
    const { until, writer, first } = step;
    return { time: until, writer, sequence: isCandidate(step) ? first + step.count : first };
  }

  /** Takes the highest step. Undefined at the end. */
  async take(): Promise<Candidate | Passed | undefined> {
    const head = this.highest;
    if (head === undefined) return undefined;
    const { step } = head;
    const following = await head.source.next();
    if (following === undefined) this.heads.splice(this.heads.indexOf(head), 1);
    else head.step = following;
    return step;
  }

  private get highest() {
    let highest = this.heads[0];
    for (const head of this.heads) if (compareRows(head.step, highest!.step) > 0) highest = head;
    return highest;
  }
}
