export interface GetOptions {
  /** A longer file is refused before it is read whole. */
  readonly maxBytes: number;
  /** Time for the whole file, in milliseconds. */
  readonly timeoutMs: number;
  /** That of the file as it was read last; if it is still the same, nothing is read. */
  readonly etag?: string | undefined;
  readonly signal?: AbortSignal;
}

export interface FetchedFile {
  readonly bytes: Buffer;
  /** Changes with the content; undefined where the server names none. */
  readonly etag: string | undefined;
}

/** What must hold of a file for it to be written: it is the one with this ETag, or it is not there. */
export type PutCondition = { readonly etag: string } | 'absent';

/** A folder of bundles, wherever it is. Paths are those of the index: relative, with `/`, and never out of the folder. */
export abstract class BundleTransport {
  /** Where it is, for messages; without secrets. */
  abstract readonly place: string;

  /**
   * Reads a file.
   *
   * @throws BundleError `bundle_missing`, `bundle_too_large`, `bundle_unreachable`, `bundle_access_denied`,
   *   `bundle_redirected`, `bundle_encoded`
   */
  abstract get(path: string, options: GetOptions): Promise<FetchedFile | 'unchanged'>;

  /**
   * Writes a file, whole or not at all.
   *
   * @throws BundleError `bundle_changed_meanwhile` when the condition does not hold; else as `get`
   */
  abstract put(path: string, bytes: Uint8Array, condition?: PutCondition): Promise<void>;
}
