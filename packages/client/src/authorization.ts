import type { VerdictClientOptions } from './client.js';
import { VerdictUnavailable } from './errors.js';

/** Makes the header of each try; a key that cannot be had is no answer. */
export function authorization(apiKey: VerdictClientOptions['apiKey']): () => Promise<Record<string, string>> {
  return async (): Promise<Record<string, string>> => {
    if (typeof apiKey !== 'function') return bearer(apiKey);
    try {
      return bearer(await apiKey());
    } catch (cause) {
      // What it threw may have the key in it.
      throw new VerdictUnavailable('no_key', 'the apiKey function gave no key', { cause });
    }
  };
}

function bearer(key: string | undefined): Record<string, string> {
  if (key === undefined) return {};
  // What a platform says of a header that it does not like has the key in it.
  if (!/^[!-~]+$/.test(key)) throw new TypeError('apiKey has characters that no key has');
  return { authorization: `Bearer ${key}` };
}
