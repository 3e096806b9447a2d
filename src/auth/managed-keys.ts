import { VerdictError } from '../errors.js';
import type { ApiKey, ApiKeySecret } from './api-key-entry.js';

/** A managed key as operators see it: everything but its secrets. Times in milliseconds since 1970. */
export interface ManagedKey extends ApiKey {
  /** The oldest first. */
  readonly secrets: readonly (ApiKeySecret & { readonly created: number; readonly lastUsed?: number })[];
  readonly created: number;
  readonly createdBy: string;
  readonly revoked?: number;
}

/** Somebody who is told of changed keys. */
export interface ManagedKeysWatch {
  /** How long ago every key that there is was known to the watch, in milliseconds; `Infinity` before the first time. */
  readonly ageMs: number;
  end(): void;
}

/**
 * The API keys that are made while the service runs. Stored is the SHA-256 of a key; its text exists only in the answer to
 * the caller who made it.
 *
 * Several processes may use the same keys: each sees by `changes` when it must read them again.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`) implement it. What each implementation must
 * do is tested by one suite, `test/auth/managed-keys-suite.ts`.
 */
export abstract class ManagedKeys {
  /** Returns a number that changes with every key that is made, rotated or revoked, by this process or another. */
  abstract changes(): Promise<number>;

  /**
   * Calls `look` soon, and then whenever a key was made, rotated or revoked by any process, within a second; again when it
   * failed. A call that hangs does not hold up the next one. Undefined where nobody tells: then `changes` is asked now and then.
   */
  abstract watch(look: () => Promise<void>): ManagedKeysWatch | undefined;

  /** Returns every key in the order of their names, revoked ones too. */
  abstract list(): Promise<ManagedKey[]>;

  /** Returns the key of this name, also a revoked one; undefined when there never was one. */
  abstract find(name: string): Promise<ManagedKey | undefined>;

  /**
   * Makes a key and returns its text, which cannot be had again.
   *
   * @param environment the part of the text that names where the key is good: `vd_<environment>_…`
   * @param by name of the caller who makes it
   * @param now milliseconds since 1970
   * @throws VerdictError `api_key_exists` also when a revoked key had the name, or one that differs in case alone: records
   * must not mean two callers by it
   */
  abstract create(key: ApiKey, environment: string, by: string, now: number): Promise<string>;

  /**
   * Gives a key a new secret and returns its text. The secret before stays good for `overlapMs` milliseconds, any older one
   * ends at `now` (milliseconds since 1970), so that never more than two are good.
   *
   * @throws VerdictError `api_key_not_found` also when it is revoked
   */
  abstract rotate(name: string, environment: string, overlapMs: number, now: number): Promise<string>;

  /**
   * Revokes a key for good. A key that is revoked already keeps its time.
   *
   * @param now milliseconds since 1970
   * @throws VerdictError `api_key_not_found`
   */
  abstract revoke(name: string, now: number): Promise<void>;

  /**
   * Notes when secrets were last used. Called rarely, so that authenticating writes nothing.
   *
   * @param uses digest of a secret → milliseconds since 1970; an earlier time than the one noted changes nothing
   */
  abstract used(uses: ReadonlyMap<string, number>): Promise<void>;

  abstract close(): Promise<void>;
}

/** The refusal of a name that a key has, or had. */
export function keyNameTaken(name: string): VerdictError {
  return new VerdictError('api_key_exists', `There is, or was, an API key "${name}"; names are used once.`);
}

export function keyNotFound(name: string): VerdictError {
  return new VerdictError('api_key_not_found', `There is no API key "${name}".`);
}
