/** The bundles of the sets that serve now, for clients that decide in their own process, and the wait for the next one. */
import { FlattenedSign } from 'jose';
import type { NoteSigner } from '../../decision-log/proof/signed-note.js';
import { VerdictError } from '../../errors.js';
import { inTurns } from '../../turns/turns.js';
import type { PolicyStore } from '../policy-store.js';
import type { ServedPolicySet } from '../served-policy-set.js';
import { localBundleInSteps } from './local-bundle.js';

/** Most requests that wait for another bundle, in this process. One more is answered at once. */
export const maxWaiting = 1_000;

export interface LocalBundle {
  readonly version: string;
  readonly body: Buffer;
  /** The digest of the body: `sha256:…`. */
  readonly digest: string;
  /** A detached JWS over the body; undefined where nothing here signs (the decision log is off). */
  readonly signature: string | undefined;
}

export interface FoundBundle {
  readonly bundle: LocalBundle;
  /** How long before `at` it was last known that the source has nothing newer, in milliseconds; `Infinity` if it never was. */
  readonly ageMs: number;
  /** When that was so, by the monotonic clock in milliseconds. */
  readonly at: number;
}

export class LocalBundles {
  private readonly made = new WeakMap<ServedPolicySet, Promise<LocalBundle>>();
  private readonly waiting = new Set<() => void>();
  private isStopped = false;

  /** @param signer signs for the fleet, or for this replica; undefined while nothing does */
  constructor(
    private readonly store: PolicyStore,
    private readonly signer: () => NoteSigner | undefined,
  ) {
    store.whenServed(() => this.wake());
  }

  /** Number of requests that wait. */
  get waiters(): number {
    return this.waiting.size;
  }

  /**
   * The bundle of what serves of a set.
   *
   * @throws VerdictError `policy_set_not_found`, `policy_set_unavailable`, `local_not_allowed`, `policy_too_old`
   */
  async find(name: string): Promise<FoundBundle> {
    const set = this.store.resolve(name);
    const ageMs = this.store.ageOf(name);
    const at = performance.now();
    if (set.compiled.manifest.local === undefined) {
      const detail = `The manifest of the policy set "${name}" does not say that clients may decide by it: local: allowed.`;
      throw new VerdictError('local_not_allowed', detail);
    }
    if (ageMs > (this.store.maxStalenessMs ?? Number.POSITIVE_INFINITY)) {
      const detail = `What is served of the policy set "${name}" is older than this service answers from.`;
      throw new VerdictError('policy_too_old', detail, { retryAfter: 1 });
    }
    let bundle = this.made.get(set);
    if (bundle === undefined) {
      bundle = this.make(set);
      this.made.set(set, bundle);
      // The next request makes it again.
      bundle.catch(() => this.made.delete(set));
    }
    return { bundle: await bundle, ageMs, at };
  }

  /**
   * As `find`; while the bundle is one that `isKnown`, waits for another one.
   *
   * @param ms longest wait in milliseconds
   * @param left aborted when nobody waits for the answer any more
   */
  async next(name: string, isKnown: (digest: string) => boolean, ms: number, left: AbortSignal): Promise<FoundBundle> {
    const until = performance.now() + ms;
    for (;;) {
      // Asked for before the bundle is looked at, so that no change falls between.
      const change = this.change(until, left);
      try {
        const found = await this.find(name);
        if (!isKnown(found.bundle.digest)) return found;
        // The age is that of now.
        if (!(await change.comes)) return await this.find(name);
      } finally {
        change.end();
      }
    }
  }

  /** Answers all that wait. */
  stop(): void {
    this.isStopped = true;
    this.wake();
  }

  /** `comes` resolves with true at the next change of any set; with false at the end, and where too many wait. */
  private change(until: number, left: AbortSignal): { readonly comes: Promise<boolean>; end(): void } {
    const ms = until - performance.now();
    if (!(ms > 0) || this.isStopped || left.aborted || this.waiting.size >= maxWaiting) {
      return { comes: Promise.resolve(false), end: () => {} };
    }
    let end = (_isChange: boolean) => {};
    const comes = new Promise<boolean>((resolve) => {
      const wake = () => end(!this.isStopped);
      const give = () => end(false);
      const timer = setTimeout(give, ms);
      end = (isChange) => {
        clearTimeout(timer);
        left.removeEventListener('abort', give);
        this.waiting.delete(wake);
        resolve(isChange);
      };
      left.addEventListener('abort', give);
      this.waiting.add(wake);
    });
    return { comes, end: () => end(false) };
  }

  private wake(): void {
    for (const wake of [...this.waiting]) wake();
  }

  private async make(set: ServedPolicySet): Promise<LocalBundle> {
    const { body, digest } = await inTurns(localBundleInSteps(set));
    const signer = this.signer();
    return Object.freeze({
      version: set.version,
      body,
      digest: `sha256:${digest}`,
      signature: signer === undefined ? undefined : await signBundle(body, signer),
    });
  }
}

/** `typ` of the signature, so that it cannot pass for one of something else. */
export const localBundleType = 'verdict-local-bundle';

/** A detached JWS (RFC 7797, `"b64": false`): `<protected>..<signature>`. `kid` is the name and the id of a key of `/v1/decisions/keys`. */
async function signBundle(body: Buffer, { name, id, privateKey }: NoteSigner): Promise<string> {
  const kid = `${name}+${id.toString('hex')}`;
  const jws = await new FlattenedSign(body)
    .setProtectedHeader({ alg: 'EdDSA', kid, typ: localBundleType, b64: false, crit: ['b64'] })
    .sign(privateKey);
  return `${jws.protected}..${jws.signature}`;
}
