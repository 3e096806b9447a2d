import { VerdictError } from '../../errors.js';
import { type OpenedBundle, openBundle } from './bundle.js';
import { BundleError } from './bundle-error.js';
import type { BundleKeys } from './bundle-keys.js';
import type { TrustedKeys } from './trusted-keys.js';

/** A bundle that somebody sent; nothing of it is checked. */
export interface SentBundle {
  readonly archive: Buffer;
  /** A detached JWS, as it lies beside an archive. */
  readonly signature: string | undefined;
}

/**
 * The door for bundles that are sent to be written, as the others came from a folder: where keys are configured, the
 * signature of one of them counts, and what is unsigned is refused.
 */
export class SentBundles {
  /** @param keys undefined: nothing has to be signed. What reads keys takes time to load, so it is asked for when needed */
  constructor(private readonly keys: (() => Promise<TrustedKeys>) | undefined) {}

  /**
   * To be called for what cannot be signed.
   *
   * @throws VerdictError `bundle_refused` where sets must be signed
   */
  refuseUnsigned(set: string): void {
    if (this.keys === undefined) return;
    const message = `the files of ${set} are not signed, and VERDICT_BUNDLE_KEYS says whose signatures count`;
    const hint = 'send the archive of `verdict bundle build` with the signature of `verdict bundle sign`';
    throw refused(new BundleError('bundle_unsigned', message, { hint }));
  }

  /**
   * Verifies and opens a bundle of the set of this name.
   *
   * @throws VerdictError `bundle_refused`, `payload_too_large`, `bundle_keys_unavailable`
   */
  async open(name: string, { archive, signature }: SentBundle): Promise<OpenedBundle> {
    const keys = await this.currentKeys();
    try {
      if (keys !== undefined) {
        if (signature === undefined) {
          const hint = 'send what `verdict bundle sign` writes';
          throw new BundleError('bundle_unsigned', `the bundle of ${name} came without a signature`, { hint });
        }
        const { verifyArchive } = await import('./bundle-signature.js');
        await verifyArchive(archive, signature, keys, name);
      }
      const opened = openBundle(archive, name);
      const { set } = opened.manifest;
      if (set === name) return opened;
      throw new BundleError(
        'bundle_manifest_invalid',
        `bundle.json names the set ${set}, and ${name} is to be written`,
      );
    } catch (error) {
      if (error instanceof BundleError) throw refused(error);
      throw error;
    }
  }

  private async currentKeys(): Promise<BundleKeys | undefined> {
    try {
      return await (await this.keys?.())?.current();
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      throw new VerdictError('bundle_keys_unavailable', `No signature can be verified: ${error.message}.`);
    }
  }
}

/** The one fault is of the bundle as a whole; the message says where in it. */
function refused({ code, message, extra }: BundleError): VerdictError {
  if (code === 'bundle_too_large') return new VerdictError('payload_too_large', `${upper(message)}.`);
  const detail = `${code}: ${message}${extra.hint === undefined ? '' : ` (${extra.hint})`}`;
  return new VerdictError('bundle_refused', `The bundle is not taken: ${message}.`, {
    errors: [{ pointer: '', detail }],
  });
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
