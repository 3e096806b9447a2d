import { BoundedCache } from '../../core/bounded-cache.js';

/** Text of the questions that are remembered of a version, in characters; twice as much at most. */
export const rememberedLength = 8 * 1024 * 1024;
/** What an entry takes beside its text, about, counted as characters. */
const entryLength = 200;
/** A longer question is answered each time. */
export const longestRemembered = 64 * 1024;
/** Questions after which it is known whether they come again. */
const learned = 16_384;

/**
 * Outcomes by the text of their questions and answers. Where questions hardly ever come again (each has an id of its own, say),
 * most are not noted: to note one takes as long as to answer it.
 */
export class RememberedOutcomes<Outcome> {
  private readonly outcomes = new BoundedCache<Outcome>(rememberedLength);
  private asked = 0;
  private found = 0;

  get(text: string): Outcome | undefined {
    const outcome = this.outcomes.get(text);
    this.asked++;
    if (outcome !== undefined) this.found++;
    return outcome;
  }

  note(text: string, outcome: Outcome): void {
    if (text.length > longestRemembered) return;
    const isRare = this.asked > learned && this.found * 16 < this.asked;
    if (isRare && this.asked % 8 !== 0) return;
    // A part of a text keeps all of it in memory; its copy does not.
    this.outcomes.set(Buffer.from(text).toString(), outcome, text.length + entryLength);
  }
}
