/** Bytes of a page in the WAL: 4,096 and the header of its frame. */
const frameBytes = 4_120;
/** Pages that a commit writes besides those that its text fills: the row's leaf, and at times the ones above it. */
const pagesBesideText = 2;

/** The result of an attempt to write the WAL back. */
export interface WrittenBack {
  /** Pages in the WAL, written back or not. */
  readonly frames: number;
  /** True if the next commit starts the WAL again from its beginning. */
  readonly restarted: boolean;
}

/**
 * The size of the open file's WAL, and when it must be written back. A commit of one small record writes some 10 KB to
 * it, so what counts is pages. Of `most` bytes (128 MiB):
 *
 * - an eighth more is written back beside the commits;
 * - a half starts anew, which a commit or two has to wait for: rarely, but a large WAL starts slowly;
 * - with three quarters, that waits for readers, and commits wait with it: no reader of ours takes a second;
 * - with seven eighths, no commit begins before it was tried.
 */
export class WalBound {
  /** As it was when it was written back last. */
  private seenBytes = 0;
  private grown: number;

  /** `bytes`: its size when the file was opened. */
  constructor(
    private readonly most: number,
    bytes: number,
  ) {
    this.grown = bytes;
  }

  /** Notes a commit of about this number of bytes. */
  grew(bytes: number): void {
    this.grown += (Math.ceil(bytes / 4_080) + pagesBesideText) * frameBytes;
  }

  get bytes(): number {
    return this.seenBytes + this.grown;
  }

  get isDue(): boolean {
    return this.grown >= this.most / 8;
  }

  get mustRestart(): boolean {
    return this.bytes >= this.most / 2;
  }

  get mustWait(): boolean {
    return this.bytes >= (this.most * 3) / 4;
  }

  get isFull(): boolean {
    return this.bytes >= (this.most * 7) / 8;
  }

  /** Writes back by `attempt`, and takes note of what became of it. */
  async writeBack(attempt: (restart: boolean, wait: boolean) => Promise<WrittenBack>): Promise<void> {
    const grown = this.grown;
    const { frames, restarted } = await attempt(this.mustRestart, this.mustWait);
    // Commits went on meanwhile.
    this.grown -= grown;
    this.seenBytes = restarted ? 0 : frames * frameBytes;
  }
}
