import { open } from 'node:fs/promises';
import { isUrl } from '../../config/bundle-places.js';
import { BundleError } from './bundle-error.js';
import { BundleKeys } from './bundle-keys.js';
import { download } from './http-exchange.js';

/** Largest file or answer of keys in bytes. */
const maxKeysBytes = 512 * 1024;
const fetchTimeoutMs = 5_000;
/** Shortest time between two fetches of a JWKS in milliseconds: a key that was withdrawn counts for this long at most. */
const defaultFetchMs = 60_000;
/** How long the keys of a JWKS count while it cannot be fetched, in milliseconds. */
const defaultMaxAgeMs = 24 * 3_600_000;

interface FetchedKeys {
  readonly text: string;
  readonly at: number;
  readonly tried: number;
}

export interface TrustedKeysOptions {
  readonly fetchMs?: number;
  readonly maxAgeMs?: number;
  /** Milliseconds of a clock that does not go back. */
  readonly now?: () => number;
}

/**
 * The keys whose signatures count, from files and from JWKS on the web. Files are read anew each time, a JWKS once a
 * minute, so that keys can be changed while the service runs.
 */
export class TrustedKeys {
  private readonly fetched = new Map<string, FetchedKeys>();
  private readonly now: () => number;

  /** @param places paths of files, and URLs for which `whyNotKeyPlace` (config/bundle-places.ts) finds nothing */
  constructor(
    private readonly places: readonly string[],
    private readonly options: TrustedKeysOptions = {},
  ) {
    this.now = options.now ?? (() => performance.now());
  }

  /** @throws BundleError `bundle_keys_invalid`, or why a JWKS cannot be fetched */
  async current(): Promise<BundleKeys> {
    const texts: { place: string; text: string }[] = [];
    for (const place of this.places) {
      texts.push({ place, text: isUrl(place) ? await this.fetchText(place) : await readKeyFile(place) });
    }
    return BundleKeys.read(texts);
  }

  private async fetchText(place: string): Promise<string> {
    const last = this.fetched.get(place);
    const now = this.now();
    if (last !== undefined && now - last.tried < (this.options.fetchMs ?? defaultFetchMs)) return last.text;
    try {
      const options = { maxBytes: maxKeysBytes, timeoutMs: fetchTimeoutMs };
      const found = await download(new URL(place), options, (address, init) => fetch(address, init));
      const text = found === 'unchanged' ? '' : found.bytes.toString('utf8');
      // An answer without a usable key is none, and must not end the use of those that are known.
      await BundleKeys.read([{ place, text }]);
      this.fetched.set(place, { text, at: now, tried: now });
      return text;
    } catch (error) {
      if (last === undefined || now - last.at > (this.options.maxAgeMs ?? defaultMaxAgeMs)) throw error;
      this.fetched.set(place, { ...last, tried: now });
      return last.text;
    }
  }
}

async function readKeyFile(path: string): Promise<string> {
  let handle: Awaited<ReturnType<typeof open>> | undefined;
  try {
    handle = await open(path, 'r');
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > maxKeysBytes) throw new Error('it is not a small file');
    return await handle.readFile('utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new BundleError('bundle_keys_invalid', `${path} cannot be read: ${code ?? message}`);
  } finally {
    await handle?.close();
  }
}
