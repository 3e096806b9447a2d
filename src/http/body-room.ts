/**
 * Bounds the bytes of request bodies that are held at once, from the headers of a request until its answer is sent. One
 * caller may hold half of them (P10). Without this bound, a few hundred connections that send a batch and stop before
 * its end would hold gigabytes.
 */
export class BodyRoom {
  private held = 0;
  private readonly ofCallers = new Map<string, number>();

  constructor(private readonly bytes: number) {}

  /**
   * Reserves room for a body. Returns false, and reserves nothing, if there is not enough. `key` as `callerKey` makes
   * it.
   */
  take(key: string, bytes: number): boolean {
    const ofCaller = this.ofCallers.get(key) ?? 0;
    if (this.held + bytes > this.bytes || ofCaller + bytes > this.bytes / 2) return false;
    this.held += bytes;
    this.ofCallers.set(key, ofCaller + bytes);
    return true;
  }

  giveBack(key: string, bytes: number): void {
    this.held -= bytes;
    const ofCaller = this.ofCallers.get(key)! - bytes;
    if (ofCaller === 0) this.ofCallers.delete(key);
    else this.ofCallers.set(key, ofCaller);
  }
}
