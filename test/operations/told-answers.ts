/** What clients of a fleet were told while its policy was changed, held against the changes. */

/** What one client was told. */
export interface Told {
  readonly replica: number;
  readonly subject: string;
  /** By the monotonic clock: when it was asked. */
  readonly askedAt: number;
  readonly demanded: number | undefined;
  readonly status: number;
  readonly allowed: boolean;
  readonly version: string;
  readonly revision: number;
}

/** One change of the set, as its writer was told of it. */
export interface Change {
  readonly revision: number;
  readonly version: string;
  /** By the monotonic clock: when the answer came. */
  readonly at: number;
}

/** The time in which one replica could not know of changes, by the monotonic clock. */
export interface Absence {
  readonly replica: number;
  readonly from: number;
  readonly to: number;
}

/** Answers that are wrong for the version they name, older than demanded, or older than the bound: with what is wrong first. */
export function wrongAnswers(
  told: readonly Told[],
  made: readonly Change[],
  {
    isAllowed,
    boundAt,
    absence,
  }: {
    /** What the version says of the subject; undefined for a version that nobody wrote. */
    readonly isAllowed: (version: string, subject: string) => boolean | undefined;
    /** How long a change may be unknown to one that asks then, in milliseconds. */
    readonly boundAt: (askedAt: number) => number;
    readonly absence?: Absence;
  },
): unknown[] {
  const wrong: unknown[] = [];
  for (const answer of told) {
    const { replica, askedAt, demanded, revision } = answer;
    if (answer.allowed !== isAllowed(answer.version, answer.subject)) wrong.push(['wrong', answer]);
    if (demanded !== undefined && revision < demanded) wrong.push(['older than demanded', answer]);
    const knew = made.filter(({ at }) => at <= askedAt - boundAt(askedAt)).at(-1);
    const wasAway = replica === absence?.replica && askedAt >= absence.from && askedAt <= absence.to;
    if (knew !== undefined && !wasAway && revision < knew.revision) wrong.push(['older than the bound', answer, knew]);
  }
  return wrong;
}
