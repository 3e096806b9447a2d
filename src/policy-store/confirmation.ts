/**
 * When a source was last read whole. The clock of the machine may be set back, and the monotonic clock stands still while the
 * machine sleeps: the older of the two ages counts, so that what is old never looks new.
 */
export class Confirmation {
  private noted: { readonly monotonic: number; readonly time: number } | undefined;

  /** @param asked when the reading began, by the monotonic clock, in milliseconds */
  note(asked: number): void {
    this.noted = { monotonic: asked, time: Date.now() - (performance.now() - asked) };
  }

  /** Milliseconds since 1970; undefined before the first time. */
  get at(): number | undefined {
    if (this.noted === undefined) return undefined;
    return Math.min(this.noted.time, Date.now() - (performance.now() - this.noted.monotonic));
  }
}
