import { isDeepStrictEqual } from 'node:util';
import type { Mask, MaskRules } from '../../decision-log/mask.js';
import { policySetNotFound, VerdictError } from '../../errors.js';
import type { PolicyStore } from '../../policy-store/policy-store.js';
import type { ServedPolicySet } from '../../policy-store/served-policy-set.js';
import type { Asker } from '../question.js';

/** Most versions that are loaded for one request: what is left of it comes again, behind the requests of others. */
const mostLoads = 4;
/** Most loaded versions that are known again. */
const knownVersions = 64;

/** A version that a client decided by. */
export interface ClientVersion {
  readonly set: ServedPolicySet;
  /** What of a request is hidden in its record. */
  readonly mask: Mask;
}

/** Finds the versions that clients name. */
export class NamedVersions {
  /**
   * Versions that serve no longer and are loaded, the one that was used last is last. It is the archive that keeps them, as many as
   * it may. Those of stock Casbin, which end when they are dropped there, are not among them: none is local.
   */
  private readonly known = new Map<string, WeakRef<ServedPolicySet>>();
  private loading: Promise<unknown> = Promise.resolve();

  constructor(private readonly policySets: Pick<PolicyStore, 'served' | 'version'>) {}

  /** For the records of one request. */
  forRequest(asker: Asker): RequestVersions {
    return new RequestVersions(this, asker);
  }

  served(name: string): ServedPolicySet | undefined {
    return this.policySets.served(name);
  }

  /** One that is loaded and was named before. */
  knownOne(key: string): ServedPolicySet | undefined {
    return this.known.get(key)?.deref();
  }

  know(key: string, set: ServedPolicySet): void {
    this.known.delete(key);
    this.known.set(key, new WeakRef(set));
    for (const oldest of this.known.keys()) {
      if (this.known.size <= knownVersions) break;
      this.known.delete(oldest);
    }
  }

  /** One at a time for all callers: it takes memory and processor time. */
  load(name: string, version: string): Promise<ServedPolicySet> {
    const loaded = this.loading.then(() => this.policySets.version(name, version));
    this.loading = loaded.catch(() => undefined);
    return loaded;
  }
}

/** The versions that a request names. Only the last one is kept: a request may name as many as it has records. */
export class RequestVersions {
  /** How many were loaded. */
  private loads = 0;
  /** Why those are not taken that are not. */
  private readonly refused = new Map<string, VerdictError>();
  private last: (ClientVersion & { readonly serving: ServedPolicySet | undefined }) | undefined;

  constructor(
    private readonly versions: NamedVersions,
    private readonly asker: Asker,
  ) {}

  /** The version of a set; why it takes no records; or undefined where the request has no load left. */
  of(
    name: string,
    version: string,
  ): ClientVersion | VerdictError | undefined | Promise<ClientVersion | VerdictError | undefined> {
    const serving = this.versions.served(name);
    const { last } = this;
    // Most records of a request are of one version.
    if (last?.set.name === name && last.set.version === version && last.serving === serving) return last;
    return this.find(name, version, serving);
  }

  private async find(
    name: string,
    version: string,
    serving: ServedPolicySet | undefined,
  ): Promise<ClientVersion | VerdictError | undefined> {
    // A set that the caller may not use does not exist for it.
    if (!this.asker.grants.allows('decide', name)) return policySetNotFound(name);
    const key = JSON.stringify([name, version]);
    const refusal = this.refused.get(key);
    if (refusal !== undefined) return refusal;
    let set = serving?.version === version ? serving : this.versions.knownOne(key);
    if (set === undefined) {
      if (this.loads === mostLoads) return undefined;
      this.loads++;
      try {
        set = await this.versions.load(name, version);
      } catch (error) {
        if (!(error instanceof VerdictError) || error.status >= 500) throw error;
        // To find that there is none takes no load.
        if (error.code === 'policy_version_not_found') this.loads--;
        this.refused.set(key, error);
        return error;
      }
    }
    if (set.compiled.manifest.local === undefined) {
      const refused = localNotAllowed(name);
      this.refused.set(key, refused);
      return refused;
    }
    if (set !== serving) this.versions.know(key, set);
    this.last = { set, mask: maskOf(set, serving), serving };
    return this.last;
  }
}

/** The version that a client names may be one that hid less: what the one hides that serves now is hidden, too. */
function maskOf(set: ServedPolicySet, serving: ServedPolicySet | undefined): Mask {
  // A hash of a hash would not be found by the value.
  if (serving === undefined || isDeepStrictEqual(rulesOf(set), rulesOf(serving))) return set.mask;
  return (request) => serving.mask(set.mask(request));
}

function rulesOf({ compiled }: ServedPolicySet): MaskRules {
  return compiled.manifest.decisionLog;
}

function localNotAllowed(name: string): VerdictError {
  return new VerdictError(
    'local_not_allowed',
    `The policy set "${name}" does not let clients decide in their own processes.`,
  );
}
